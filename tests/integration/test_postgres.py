"""The sink PostgreSQL on a real server: its tables, what it does when somebody is in the way, and what it says then."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from consumers.records.mapping import record_classes
from consumers.records.record import columns
from consumers.sinks.postgres import PostgresSink, open_postgres
from consumers.sinks.postgres_errors import named
from consumers.sinks.postgres_settings import PostgresSettings, place_of
from consumers.sinks.postgres_sql import stage_name, wanted
from harvester.errors import ConfigError, HarvesterError, InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from tests import services
from tests.github_records import ALL_GITHUB, pull_request_event, pull_request_node
from tests.services import Server
from tests.unit.webserver import TLS
from tests.useractions import useraction_event
from tests.zoomevents import dashboard_meeting, meeting_event

ROOT = Path(__file__).parents[2]


def sink(server: Any, **settings: Any) -> AbstractAsyncContextManager[PostgresSink]:
    return open_postgres(PostgresSettings(**({"url": server.url, "user": "postgres"} | settings)))


async def asked(server: Any, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last one."""
    connection = await asyncpg.connect(server.url, user="postgres")
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return [tuple(row) for row in await connection.fetch(statements[-1])]
    finally:
        await connection.close()


async def write(server: Any, *events: Event, **settings: Any) -> None:
    async with sink(server, **settings) as opened:
        assert list(await opened.write(events)) == []


COUNT = "SELECT count(*), max(action_outpoint) FROM useractions"


async def test_f10_every_table_of_github_is_made_with_its_columns_and_read_back(postgres: Server) -> None:
    await write(postgres, *ALL_GITHUB)
    types = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{}' ORDER BY ordinal_position"
    for record in (one for one in record_classes() if one.__module__.startswith("consumers.records.github")):
        table = record.__shape__.table
        assert await asked(postgres, types.format(table)) == list(wanted(record).items())
        assert await asked(postgres, f"SELECT count(*) FROM {table}") == [(1,)]
    row = await asked(
        postgres, "SELECT pr_number, labels->>1, is_merged, created_at::text, additions, event_rank FROM pull_requests"
    )
    assert row == [(12, "size/M", True, "2026-11-01 09:00:00+00", 30, 2)]


async def test_b56_a_column_that_a_newer_class_has_more_is_added_and_null_before(postgres: Server) -> None:
    await write(postgres, pull_request_event())
    await asked(postgres, "ALTER TABLE pull_requests DROP COLUMN title, DROP COLUMN is_draft", "SELECT 1")
    await write(postgres, pull_request_event(pull_request_node(13)))
    found = await asked(postgres, "SELECT pr_number, title, is_draft FROM pull_requests ORDER BY 1")
    assert found == [(12, None, None), (13, "Add a widget", False)]


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        ("CREATE TABLE useractions (action_id text, mpid text)", "action_id as text, it should be bigint"),
        ("CREATE VIEW useractions AS SELECT 1 AS x", "something else stands"),
        ("CREATE TABLE useractions (event_id text)", "no primary key of ours"),
    ],
)
async def test_what_stands_in_the_place_of_our_table_is_told_and_left_as_it_is(
    postgres: Server, standing: str, said: str
) -> None:
    await asked(postgres, standing, "SELECT 1")
    with pytest.raises(ConfigError, match=said):
        await write(postgres, useraction_event(1))
    with pytest.raises(ConfigError, match="rename"):
        await write(postgres, useraction_event(1))


async def test_a_schema_of_ones_own_is_made_when_it_is_not_there(postgres: Server) -> None:
    for _ in range(2):
        await write(postgres, useraction_event(1), schema_='Lecture "capture"')
    assert await asked(postgres, 'SELECT count(*) FROM "Lecture ""capture""".useractions') == [(1,)]
    assert await asked(postgres, "SELECT to_regclass('public.useractions')") == [(None,)]


async def test_an_account_without_rights_is_told_what_to_grant_and_needs_no_more_than_that(postgres: Server) -> None:
    await asked(postgres, "DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN", "SELECT 1")
    with pytest.raises(PermanentError, match="grant the account"):
        await write(postgres, useraction_event(1), user="weak")
    await write(postgres, useraction_event(1))
    await asked(
        postgres, "GRANT USAGE ON SCHEMA public TO weak", "GRANT SELECT, INSERT, UPDATE ON useractions TO weak", "SELECT 1"
    )
    await write(postgres, useraction_event(2), user="weak")
    assert (await asked(postgres, COUNT))[0][0] == 2
    await asked(postgres, "DROP OWNED BY weak", "DROP ROLE weak", "SELECT 1")


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"user": "nobody"}, PermanentError, "HARVESTER_POSTGRES_USER"),
        ({"database": "nowhere"}, ConfigError, "CREATE DATABASE"),
        ({"port": 1}, TransientError, "is it running"),
    ],
)
async def test_who_cannot_get_in_is_told_why(
    postgres: Server, wrong: dict[str, Any], kind: type[HarvesterError], said: str
) -> None:
    base, _, database = postgres.url.rpartition("/")
    host, _, port = base.rpartition(":")
    url = f"{host}:{wrong.pop('port', port)}/{wrong.pop('database', database)}"
    async with sink(postgres, url=url, **wrong) as opened:
        with pytest.raises(kind, match=said):
            await opened.write([useraction_event(1)])
        with pytest.raises(kind, match=said):
            await opened.find("1")


async def test_a_batch_with_a_row_that_no_table_takes_is_refused_whole_and_the_rest_passes_without_it(postgres: Server) -> None:
    endless = meeting_event(dashboard_meeting(uuid="".join(f"{n:x}" for n in range(20_000))))  # an index entry holds 2.7 kB
    async with sink(postgres) as opened:
        with pytest.raises(InvalidEventError, match="refused"):
            await opened.write([meeting_event(), useraction_event(1), endless])
        assert await opened.find("1") == []
        assert list(await opened.write([meeting_event(), useraction_event(1)])) == []
        assert len(await opened.find("1")) == 1


async def test_several_that_write_the_same_rows_in_any_order_do_not_hold_each_other_up(postgres: Server) -> None:
    states = [[useraction_event(n, version=v) for n in range(200)] for v in range(6)]
    await asyncio.gather(*(write(postgres, *(state if v % 2 else state[::-1])) for v, state in enumerate(states)))
    assert await asked(postgres, COUNT + " WHERE action_outpoint = 5") == [(200, 5)]


async def test_nothing_of_a_batch_stays_with_the_connection_which_a_pooler_hands_to_others(postgres: Server) -> None:
    async with sink(postgres) as opened:
        await opened.write([useraction_event(1)])
        assert (await asked(postgres, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"))[0][0] == 0
        await opened.write([useraction_event(2)])
    assert (await asked(postgres, COUNT))[0][0] == 2


async def test_a_table_that_is_dropped_under_us_is_made_anew_at_the_next_try(postgres: Server) -> None:
    async with sink(postgres) as opened:
        await opened.write([useraction_event(1)])
        await asked(postgres, "DROP TABLE useractions", "SELECT 1")
        with pytest.raises(TransientError, match="changed under us"):
            await opened.write([useraction_event(2)])
        await opened.write([useraction_event(2)])
    assert (await asked(postgres, COUNT))[0][0] == 1


async def test_who_waits_too_long_for_a_lock_tries_again_later(postgres: Server) -> None:
    await write(postgres, useraction_event(1))
    holder = await asyncpg.connect(postgres.url, user="postgres")
    try:
        async with sink(postgres, timeout=0.5) as opened, holder.transaction():
            await holder.execute("LOCK TABLE useractions")
            with pytest.raises(TransientError):
                await opened.write([useraction_event(2)])
    finally:
        await holder.close()
    await write(postgres, useraction_event(2))
    assert (await asked(postgres, COUNT))[0][0] == 2


async def test_a_server_that_takes_no_writes_is_waited_for(postgres: Server) -> None:
    await write(postgres, useraction_event(1))
    await asked(postgres, "ALTER ROLE postgres SET default_transaction_read_only = on", "SELECT 1")
    try:
        with pytest.raises(TransientError, match="read-only"):
            await write(postgres, useraction_event(2))
    finally:
        reset = "SET default_transaction_read_only = off", "ALTER ROLE postgres RESET default_transaction_read_only", "SELECT 1"
        await asked(postgres, *reset)


def mapped(pid: int) -> str:
    """The files that are in a process's memory."""
    return Path(f"/proc/{pid}/maps").read_text()


async def test_f32_a_server_that_is_killed_and_comes_back_has_every_batch_once() -> None:
    with services.own("postgres") as node:
        async with sink(node) as opened:
            await opened.write([useraction_event(n) for n in range(100)])
            assert "/dev/shm/PostgreSQL" not in mapped(node.pid), "a kill would leave it there"
            node.kill()
            with pytest.raises(TransientError):
                await opened.write([useraction_event(n) for n in range(150)])
            node.start()
            assert list(await opened.write([useraction_event(n) for n in range(150)])) == []
        assert (await asked(node, COUNT))[0][0] == 150


CHILD = """
import asyncio, sys
from tests.integration.test_postgres import write
from tests.services import SERVERS
from tests.useractions import useraction_event

async def main():
    server = SERVERS["postgres"].address(sys.argv[1])
    for version in (1, 2):
        await write(server, *[useraction_event(n, version=version) for n in range(100)])

asyncio.run(main())
"""


@pytest.mark.parametrize(("point", "before"), [("sink.in_write:2", 1), ("sink.after_write:2", 2)])
async def test_a_kill_in_a_write_leaves_the_batch_before_and_the_same_write_again_is_the_truth(
    postgres: Server, point: str, before: int
) -> None:
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CHILD, postgres.url],
        env={**os.environ, "HARVESTER_CRASH_AT": point},
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL
    assert await asked(postgres, COUNT) == [(100, before)]
    await write(postgres, *[useraction_event(n, version=2) for n in range(100)])
    assert await asked(postgres, COUNT) == [(100, 2)]


async def test_s10_a_server_is_trusted_by_its_certificate_alone(tmp_path: Path) -> None:
    pair = shutil.copy(TLS / "loopback.pem", tmp_path)
    os.chmod(pair, 0o600)  # noqa: PTH101 - Path's would be refused in a coroutine
    lines = {"ssl": "on", "ssl_cert_file": f"'{pair}'", "ssl_key_file": f"'{pair}'"}
    with services.own("postgres", **lines) as node:
        with pytest.raises(PermanentError, match="HARVESTER_POSTGRES_CA_FILE"):
            await write(node, useraction_event(1), ca_file=str(TLS / "elsewhere.crt"))
        await write(node, useraction_event(1), ca_file=str(TLS / "loopback.crt"))
        assert (await asked(node, COUNT))[0][0] == 1


async def test_s12_a_server_that_speaks_no_tls_is_told_no_password(postgres: Server) -> None:
    with pytest.raises(PermanentError, match="HARVESTER_POSTGRES_ALLOW_PLAIN"):
        await write(postgres, useraction_event(1), password=SecretStr("s3cret"), ca_file=str(TLS / "loopback.crt"))


@pytest.mark.parametrize(
    "url",
    [
        *["", "postgresql://", "postgresql://h", "postgresql://h/", "postgresql://h/a/b", "postgresql://h:x/a"],
        *["postgresql://h:0/a", "postgresql://u:s3cret@h/a", "postgresql://h/a?sslmode=disable", "mysql://h/a", "h/a"],
    ],
)
def test_a_wrong_address_is_a_config_error_that_shows_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        place_of(PostgresSettings(url=url))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "more", "tls"),
    [
        ("127.0.0.1", {}, False),
        ("[::1]:5433", {}, False),
        ("db.example.org", {}, True),
        ("db.example.org", {"allow_plain": True}, False),
        ("localhost", {"ca_file": str(TLS / "loopback.crt")}, True),
    ],
)
def test_s12_another_host_is_spoken_to_over_tls(host: str, more: dict[str, Any], tls: bool) -> None:
    place = place_of(PostgresSettings(url=f"postgresql://{host}/events", **more))
    assert (bool(place.tls), place.database) == (tls, "events")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (asyncpg.DiskFullError("could not extend file"), TransientError),
        (asyncpg.TooManyConnectionsError("sorry"), TransientError),
        (asyncpg.SerializationError("again"), TransientError),
        (asyncpg.DeadlockDetectedError("again"), TransientError),
        (asyncpg.AdminShutdownError("ending"), TransientError),
        (asyncpg.CannotConnectNowError("starting"), TransientError),
        (asyncpg.InterfaceError("connection is closed"), TransientError),
        (ConnectionResetError("gone"), TransientError),
        (TimeoutError(), TransientError),
        (asyncpg.UntranslatableCharacterError("\\u0000"), InvalidEventError),
        (OverflowError("value out of int64 range"), InvalidEventError),
        (asyncpg.CheckViolationError("one of theirs"), InvalidEventError),
        (asyncpg.InvalidPasswordError("no"), PermanentError),
        (asyncpg.InsufficientPrivilegeError("no"), PermanentError),
        (asyncpg.DataCorruptedError("bad page"), PermanentError),
    ],
)
def test_f33_what_the_server_says_becomes_the_error_of_the_next_action(raised: Exception, kind: type[HarvesterError]) -> None:
    assert type(named(raised, "here:5432/events")) is kind


def test_no_name_is_longer_than_postgres_keeps() -> None:
    for record in record_classes():
        assert all(len(name) < 64 for name in (stage_name(record), *(column.name for column in columns(record))))
