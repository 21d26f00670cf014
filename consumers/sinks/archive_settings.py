"""Where the archive is, and how large its segments are. Imports no library: settings are read without the extra, too."""

from functools import partial
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from harvester import objects
from harvester.errors import ConfigError
from harvester.setting import setting

_setting = partial(setting, "HARVESTER_ARCHIVE_")


_PROJECT = ("HARVESTER_BIGQUERY_PROJECT_ID", "BIGQUERY_PROJECT_ID")
_LOCATION = ("HARVESTER_BIGQUERY_LOCATION", "BIGQUERY_LOCATION")


def _known(value: str) -> str:
    try:
        objects.known(value)
    except ConfigError as error:
        raise PydanticCustomError("unknown", "{why}", {"why": str(error)}) from error
    return value


class ArchiveSettings(BaseModel):
    """Raw events in a bucket or a folder, for ever."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    also_reads: ClassVar[frozenset[str]] = frozenset((*_PROJECT, *_LOCATION))

    url: Annotated[
        str,
        Field(pattern=r"^[a-z][a-z0-9+.-]*://"),
        AfterValidator(_known),
        _setting("URL", "where the archive is: file:///FOLDER, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"),
    ] = "file://var/archive"
    bucket: Annotated[
        str,
        _setting(
            "BUCKET",
            "bucket of Google Cloud Storage, where HARVESTER_ARCHIVE_URL is not set; one that is missing is made for the project "
            "and at the location of BigQuery",
            "GCS_BUCKET_NAME",
            pattern=r"^[a-z0-9._-]*$",
        ),
    ] = ""
    persist: Annotated[
        bool,
        _setting(
            "PERSIST",
            "whether collections of GitHub are archived before anything else is written; false: straight into the other sinks",
            "PERSIST_TO_GCS",
        ),
    ] = True
    segment_events: Annotated[
        int, _setting("SEGMENT_EVENTS", "events that are gathered before they are written, at most", ge=1, le=100_000)
    ] = 5000
    segment_seconds: Annotated[
        float, _setting("SEGMENT_SECONDS", "seconds for which they are gathered, at most; longer: fewer objects", ge=0)
    ] = 60.0
    chunk: Annotated[int, _setting("CHUNK", "most events in one object of GitHub's", "GCS_CHUNK_SIZE", ge=1)] = 100

    @model_validator(mode="before")
    @classmethod
    def _from_bucket(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        own = {name: value for name, value in given.items() if name not in cls.also_reads}
        bucket = next((own[name] for name in ("HARVESTER_ARCHIVE_BUCKET", "GCS_BUCKET_NAME", "bucket") if own.get(name)), "")
        if not bucket or {"HARVESTER_ARCHIVE_URL", "url"} & own.keys():
            return own
        found = {"project": _PROJECT, "location": _LOCATION}
        options = {option: given[name] for option, names in found.items() for name in names[::-1] if given.get(name)}
        query = f"?{urlencode(options)}" if options else ""
        return {**own, "HARVESTER_ARCHIVE_URL": f"gs://{bucket}{query}"}
