"""Where Elasticsearch is and who we are there: what is taken, what is refused, and what goes over the wire."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from consumers.sinks import open_sink
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings, nodes
from harvester.errors import ConfigError, PermanentError, TransientError
from harvester.settings import load
from tests.site import Site
from tests.unit.bulkserver import Script, open_scripted, scripted
from tests.unit.webserver import TLS, serving
from tests.useractions import useraction_event

KEY: dict[str, Any] = {"api_key": SecretStr("c4nary-key")}
USER: dict[str, Any] = {"user": "writer", "password": SecretStr("c4nary-Passw0rd")}


def addresses(url: str, **more: Any) -> list[str]:
    return [str(node.url) for node in nodes(ElasticsearchSettings(url=url, **more))]


@pytest.mark.parametrize(
    ("url", "login", "expected"),
    [
        ("search", {}, ["http://search:9200"]),
        ("search:9201", {}, ["http://search:9201"]),
        ("search", KEY, ["https://search:9200"]),
        ("search.example.org:443/es", USER, ["https://search.example.org/es"]),
        ("127.0.0.1", KEY, ["http://127.0.0.1:9200"]),
        ("[::1]:9300", USER, ["http://[::1]:9300"]),
        ("https://search.example.org", {}, ["https://search.example.org"]),
        ("http://search:9200", {}, ["http://search:9200"]),
        (" one , two:9201,,one", {}, ["http://one:9200", "http://two:9201"]),
    ],
)
def test_e56_a_host_a_host_with_port_a_url_and_lists_of_them_are_taken(url: str, login: Any, expected: list[str]) -> None:
    assert addresses(url, **login) == expected


def test_e56_es_host_is_the_old_name(tmp_path: Path) -> None:
    loaded = load(ElasticsearchSettings, environ={"ES_HOST": "search:9200"}, cwd=tmp_path)
    assert loaded.get(ElasticsearchSettings).url == "search:9200"
    assert "HARVESTER_ELASTICSEARCH_URL" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("url", "login", "fault"),
    [
        ("", {}, "names no node"),
        (" , ", {}, "names no node"),
        ("ftp://search", {}, "no address of a server"),
        ("http://u:p@search:9200", {}, "has a login in it"),
        ("http://search:9200?x=1", {}, "query"),
        ("a b", {}, "no address of a server"),
        ("search", {**KEY, **USER}, "two logins"),
        ("search", {"user": "writer"}, "HARVESTER_ELASTICSEARCH_PASSWORD is missing"),
        ("search", {"password": SecretStr("c4nary")}, "HARVESTER_ELASTICSEARCH_USER is missing"),
    ],
)
def test_what_is_no_address_or_no_login_is_refused(url: str, login: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        nodes(ElasticsearchSettings(url=url, **login))
    assert "c4nary" not in str(caught.value)


def test_every_fault_of_the_nodes_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        nodes(ElasticsearchSettings(url="ftp://one,http://two:9200", **KEY, user="x"))
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize("login", [KEY, USER])
@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://search.example.org:9200", False),
        ("https://safe.example.org,http://search.example.org", False),
        ("http://10.0.0.7:9200", False),
        ("https://search.example.org", True),
        ("http://127.0.0.1:9200", True),
        ("http://localhost:9200", True),
    ],
)
def test_s12_a_login_goes_over_plain_http_to_loopback_only_or_where_that_was_allowed(url: str, taken: bool, login: Any) -> None:
    if taken:
        assert addresses(url, **login)
        return
    with pytest.raises(ConfigError, match="HARVESTER_ELASTICSEARCH_ALLOW_PLAIN_HTTP"):
        addresses(url, **login)
    assert addresses(url, **login, allow_plain_http=True)


def test_s12_the_command_ends_with_3_and_says_what_to_set(tmp_path: Path) -> None:
    site = Site(tmp_path, HARVESTER_ELASTICSEARCH_URL="http://search:9200", HARVESTER_ELASTICSEARCH_API_KEY="c4nary-key")
    done = site.harvest("setup", "load_index_templates")
    assert (done.code, done.out) == (3, "")
    assert "HARVESTER_ELASTICSEARCH_ALLOW_PLAIN_HTTP=true" in done.err
    assert "c4nary" not in done.err


@pytest.mark.parametrize("readable", [True, False])
def test_s03_the_file_of_a_secret_may_not_be_readable_by_everyone(tmp_path: Path, readable: bool) -> None:
    file = tmp_path / "key"
    file.write_text("c4nary-key\n")
    file.chmod(0o644 if readable else 0o600)
    environ = {"ES_HOST": "127.0.0.1", "HARVESTER_ELASTICSEARCH_API_KEY_FILE": str(file)}
    if readable:
        with pytest.raises(ConfigError, match="chmod 600"):
            load(ElasticsearchSettings, environ=environ, cwd=tmp_path)
    else:
        key = load(ElasticsearchSettings, environ=environ, cwd=tmp_path).get(ElasticsearchSettings).api_key
        assert key.get_secret_value() == "c4nary-key"


@pytest.mark.parametrize(
    ("login", "sent"),
    [
        ({}, None),
        (KEY, "ApiKey c4nary-key"),
        ({"api_key": SecretStr("id:secret")}, "ApiKey aWQ6c2VjcmV0"),
        (USER, "Basic d3JpdGVyOmM0bmFyeS1QYXNzdzByZA=="),
    ],
)
async def test_s11_an_api_key_or_user_and_password_are_sent_as_elasticsearch_wants_them(login: Any, sent: str | None) -> None:
    async with scripted(**login) as (sink, script, _):
        await sink.write([useraction_event(1)])
    assert {headers.get("authorization") for headers in script.headers} == {sent}


async def test_s10_an_own_certificate_authority_is_trusted_when_it_is_named_and_only_then() -> None:
    async with serving(Script(), tls="loopback") as server:
        async with open_scripted(str(server.url)) as sink:
            with pytest.raises(PermanentError, match="HARVESTER_ELASTICSEARCH_CA_FILE"):
                await sink.write([useraction_event(1)])
        async with open_scripted(str(server.url), ca_file=str(TLS / "loopback.crt")) as sink:
            assert list(await sink.write([useraction_event(1)])) == []
        async with open_scripted(str(server.url), ca_file=str(TLS / "elsewhere.crt")) as sink:
            with pytest.raises(PermanentError, match="not trusted"):
                await sink.write([useraction_event(1)])


async def test_tls_where_none_is_spoken_is_told_as_that() -> None:
    async with serving(Script()) as server, open_scripted(str(server.url).replace("http:", "https:")) as sink:
        with pytest.raises(TransientError, match="no TLS"):
            await sink.write([useraction_event(1)])


async def test_a_ca_file_that_is_none_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file of CA certificates"):
        async with open_scripted("https://127.0.0.1:9", ca_file=str(tmp_path / "none.pem")):
            pytest.fail("opened")


@pytest.mark.parametrize("address", ["elasticsearch://search:9200", "elasticsearch:"])
def test_an_address_in_the_sinks_name_is_refused_with_the_setting_for_it(address: str) -> None:
    with pytest.raises(ConfigError, match="HARVESTER_ELASTICSEARCH_URL"):
        open_sink(address)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ES_HOST": "http://search", "HARVESTER_ELASTICSEARCH_API_KEY": "c4nary-key"}, "ALLOW_PLAIN_HTTP"),
        ({}, "HARVESTER_ELASTICSEARCH_URL names no node"),
    ],
)
def test_config_check_tells_what_the_sink_would_refuse(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9", HARVESTER_SINKS="elasticsearch", **settings)
    done = site.harvest("config", "check")
    assert done.code == 3
    assert said in done.out
    assert "c4nary" not in done.out + done.err
