"""Which BigQuery dataset is written, and how. Imports no library: settings are read without the extra, too."""

from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from harvester.setting import setting

_setting = partial(setting, "HARVESTER_BIGQUERY_")


class BigQuerySettings(BaseModel):
    """Where the tables are. Who we are there is said by HARVESTER_GOOGLE_CREDENTIALS."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True)

    project_id: Annotated[
        str, _setting("PROJECT_ID", "project that holds the dataset and pays", "BIGQUERY_PROJECT_ID", pattern=r"^[a-z0-9.:-]*$")
    ] = ""
    dataset_id: Annotated[
        str, _setting("DATASET_ID", "dataset of our tables, made when it is missing", "BIGQUERY_DATASET_ID", pattern=r"^\w+$")
    ] = "github_stats"
    location: Annotated[
        str, _setting("LOCATION", "where the dataset is: that of the archive's bucket", "BIGQUERY_LOCATION", pattern=r"^[\w-]+$")
    ] = "US"
    partitioning: Annotated[
        Literal["MONTH", "DAY"], _setting("PARTITIONING", "how new tables are cut by their time: DAY for very many rows")
    ] = "MONTH"
    batch_events: Annotated[
        int, _setting("BATCH_EVENTS", "most events that are gathered before they are loaded", ge=1, le=100_000)
    ] = 20_000
    batch_seconds: Annotated[
        float, _setting("BATCH_SECONDS", "most seconds for which they are gathered; longer: fewer jobs", ge=0)
    ] = 300.0
    timeout: Annotated[float, _setting("TIMEOUT", "seconds one job may take", gt=0)] = 600.0
    url: Annotated[str, _setting("URL", "another address of BigQuery, such as of an emulator", pattern=r"^https?://|^$")] = ""
