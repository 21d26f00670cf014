"""Who we are at Kafka, and what a URL may say. No broker is asked."""

import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr

from harvester.access import Access
from harvester.errors import ConfigError
from harvester.queues.kafka_access import connection, place

SECRET = SecretStr("hush-hush")
LOGIN = Access(kafka_user="us", kafka_password=SECRET)


@pytest.mark.parametrize(
    ("url", "brokers"),
    [
        ("kafka://broker/p", "broker:9092"),
        ("kafka://a:1,b:2/p", "a:1,b:2"),
        ("kafka://[::1]:9093,b/p", "[::1]:9093,b:9092"),
    ],
)
def test_addresses_are_taken_as_they_stand_with_the_usual_port(url: str, brokers: str) -> None:
    assert place(url).brokers == brokers


@pytest.mark.parametrize(
    "url",
    ["kafka:///p", "kafka://host", "kafka://host/", "kafka://host/a/b", "kafka://host/ä", "kafka://host:x/p", "kafka://,/p"]
    + [f"kafka://host/p?{option}" for option in ("session=1", "session_timeout=0", "partitions=0", "lz4=perhaps", "timeout=x")],
)
def test_a_wrong_url_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        place(url)


def test_s02_a_password_in_the_url_is_refused_with_the_settings_name_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="HARVESTER_KAFKA_PASSWORD") as refused:
        place("kafka://us:hush-hush@host/p")
    assert "hush-hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("hosts", "refused"),
    [
        ("127.0.0.1", False),
        ("localhost,[::1]:1", False),
        ("broker.example", True),
        ("127.0.0.1,broker.example", True),
        ("10.0.0.1", True),
    ],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_s12_a_login_is_not_sent_unencrypted_to_another_host(hosts: str, mechanism: str, *, refused: bool) -> None:
    where = place(f"kafka://{hosts}/p")
    login = Access.model_validate({"kafka_user": "us", "kafka_password": SECRET, "kafka_mechanism": mechanism})
    if refused:
        with pytest.raises(ConfigError, match="HARVESTER_KAFKA_TLS"):
            connection(where, login)
    else:
        assert connection(where, login)["security_protocol"] == "SASL_PLAINTEXT"
    assert connection(where, login.model_copy(update={"allow_plain": True}))["security_protocol"] == "SASL_PLAINTEXT"
    assert connection(where, login.model_copy(update={"kafka_tls": True}))["security_protocol"] == "SASL_SSL"
    assert connection(where, Access())["security_protocol"] == "PLAINTEXT"


def test_s10_certificates_and_host_names_are_verified() -> None:
    context = connection(place("kafka://broker.example/p"), Access(kafka_tls=True))["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_s10_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    for wrong in (Access(kafka_tls=True, kafka_ca_file=bad), Access(kafka_tls=True, kafka_cert_file=bad)):
        with pytest.raises(ConfigError, match="HARVESTER_KAFKA_CA_FILE"):
            connection(place("kafka://broker.example/p"), wrong)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_s11_an_account_logs_in_by_its_mechanism(mechanism: str) -> None:
    login = Access.model_validate({"kafka_user": "us", "kafka_password": SECRET, "kafka_mechanism": mechanism, "kafka_tls": True})
    found = connection(place("kafka://broker.example/p"), login)
    assert (found["sasl_mechanism"], found["sasl_plain_username"], found["sasl_plain_password"]) == (mechanism, "us", "hush-hush")


async def test_s11_a_token_needs_no_user() -> None:
    login = Access(kafka_password=SECRET, kafka_mechanism="OAUTHBEARER", kafka_tls=True)
    found = connection(place("kafka://broker.example/p"), login)
    assert found["sasl_mechanism"] == "OAUTHBEARER"
    assert await found["sasl_oauth_token_provider"].token() == "hush-hush"
    assert "sasl_plain_password" not in found
