"""Where the archive is, and how large its segments are. Imports no library: settings are read without the extra, too."""

from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from harvester import objects
from harvester.errors import ConfigError
from harvester.setting import setting

_setting = partial(setting, "HARVESTER_ARCHIVE_")


def _known(value: str) -> str:
    try:
        objects.known(value)
    except ConfigError as error:
        raise PydanticCustomError("unknown", "{why}", {"why": str(error)}) from error
    return value


class ArchiveSettings(BaseModel):
    """Raw events in a bucket or a folder, for ever."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[
        str,
        Field(pattern=r"^[a-z][a-z0-9+.-]*://"),
        AfterValidator(_known),
        _setting("URL", "where the archive is: file:///FOLDER, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"),
    ] = "file://var/archive"
    segment_events: Annotated[
        int, _setting("SEGMENT_EVENTS", "events that are gathered before they are written, at most", ge=1, le=100_000)
    ] = 5000
    segment_seconds: Annotated[
        float, _setting("SEGMENT_SECONDS", "seconds for which they are gathered, at most; longer: fewer objects", ge=0)
    ] = 60.0
    chunk: Annotated[int, _setting("CHUNK", "most events in one object of GitHub's", "GCS_CHUNK_SIZE", ge=1)] = 100
