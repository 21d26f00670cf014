"""Who we are at the servers that queue, coverage, letters and cache are kept on. The URLs say where; no secret stands in them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from harvester.setting import setting

_setting = partial(setting, "HARVESTER_")


class Access(BaseModel):
    """Logins of Kafka, of Redis, of Google, and of AWS or what speaks like it. What is empty is not sent."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    kafka_user: Annotated[str, _setting("KAFKA_USER", "account at the Kafka brokers")] = ""
    kafka_password: Annotated[SecretStr, _setting("KAFKA_PASSWORD", "password of that account, or token of OAUTHBEARER")] = (
        SecretStr("")
    )
    kafka_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
        _setting("KAFKA_MECHANISM", "how that account logs in"),
    ] = "SCRAM-SHA-512"
    kafka_tls: Annotated[bool, _setting("KAFKA_TLS", "speak TLS with the brokers")] = False
    kafka_ca_file: Annotated[Path | None, _setting("KAFKA_CA_FILE", "certificate authority of the brokers, PEM")] = None
    kafka_cert_file: Annotated[Path | None, _setting("KAFKA_CERT_FILE", "our certificate for the brokers, PEM")] = None
    kafka_key_file: Annotated[Path | None, _setting("KAFKA_KEY_FILE", "key of that certificate, PEM")] = None

    redis_user: Annotated[str, _setting("REDIS_USER", "account at Redis; empty: the default one")] = ""
    redis_password: Annotated[SecretStr, _setting("REDIS_PASSWORD", "password of that account")] = SecretStr("")
    redis_ca_file: Annotated[Path | None, _setting("REDIS_CA_FILE", "certificate authority of rediss:// servers, PEM")] = None

    aws_region: Annotated[
        str, _setting("AWS_REGION", "region of S3 and SQS; empty: AWS_REGION, as the AWS tools find it, else us-east-1")
    ] = ""
    aws_endpoint_url: Annotated[
        str, _setting("AWS_ENDPOINT_URL", "where S3 and SQS are, when not at AWS; s3:// and sqs:// URLs may name their own")
    ] = ""
    aws_access_key_id: Annotated[
        str, _setting("AWS_ACCESS_KEY_ID", "access key; empty: as the AWS tools find it (environment, profile, role)")
    ] = ""
    aws_secret_access_key: Annotated[SecretStr, _setting("AWS_SECRET_ACCESS_KEY", "secret of that access key")] = SecretStr("")
    aws_session_token: Annotated[SecretStr, _setting("AWS_SESSION_TOKEN", "token of temporary access keys")] = SecretStr("")
    aws_ca_file: Annotated[Path | None, _setting("AWS_CA_FILE", "certificate authority of that endpoint, PEM")] = None

    google_credentials: Annotated[
        Path | None,
        _setting(
            "GOOGLE_CREDENTIALS",
            "key file of the service account at Google; unset: GOOGLE_APPLICATION_CREDENTIALS, or the account that the platform "
            "gives this process",
        ),
    ] = None

    claims_url: Annotated[
        str,
        _setting(
            "CLAIMS_URL",
            "where messages are kept that are too large for the queue even compressed, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
            "file://FOLDER; unset: they become dead letters",
            pattern=r"^[a-z][a-z0-9+.-]*://|^$",
        ),
    ] = ""

    allow_plain: Annotated[bool, _setting("ALLOW_PLAIN", "send these logins without TLS to a host that is not loopback")] = False


NOBODY = Access()
"""For servers that ask for no login, and for files."""
