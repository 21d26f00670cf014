"""`harvest doctor` of an installation that harvests Zoom: the login, the scopes, the clock, and the file of places."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.test_cli_doctor import doctor, findings, trouble
from tests.mmdb import BOSTON, write_mmdb
from tests.site import Site
from tests.zoom_account import Account, beside, environment, meeting, refusal, stay

SCOPE = "Invalid access token, does not contain scopes:[{}]."


@pytest.fixture
def account() -> Iterator[Account]:
    """One whose clock is that of this host, with a meeting that began half an hour ago."""
    now = datetime.now(UTC)
    began = f"{now - timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
    over = f"{now - timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}"
    rows = [meeting("a==", began, end_time=over)]
    with beside(Account(rows, {"a==": [stay(join=began, leave_time=over)]}, now=now)) as found:
        found.reply = lambda _: setattr(found, "now", datetime.now(UTC))  # however long it takes until it is asked
        yield found


def site_of(folder: Path, account: Account, **more: str) -> Site:
    return Site(folder, **{"HARVESTER_SOURCES": "zoom", **environment(account), **more})


def test_a_zoom_that_can_be_read_is_well_with_a_file_of_places_and_without(tmp_path: Path, account: Account) -> None:
    site = site_of(tmp_path, account)
    found = findings(done := doctor(site))
    assert (done.code, trouble(done)) == (0, set())
    assert {name for name in found if name.startswith("zoom")} >= {"zoom: login", "zoom: API", "zoom: clock", "zoom: reading"}
    assert "places" not in found


def test_a_login_that_is_refused_is_told_with_the_settings_and_without_the_secret(tmp_path: Path, account: Account) -> None:
    done = doctor(site_of(tmp_path, account, ZOOM_CLIENT_SECRET="wr0ng-c4nary"))
    found = findings(done)
    assert done.code == 5
    assert found["zoom: login"]["state"] == "fail"
    assert "check HARVESTER_ZOOM_ACCOUNT_ID" in found["zoom: login"]["fix"]
    assert "zoom: API" not in found
    assert "wr0ng-c4nary" not in done.out + done.err


def test_a_scope_that_is_missing_is_named(tmp_path: Path, account: Account) -> None:
    account.reply = lambda r: (
        refusal(400, 4711, SCOPE.format("dashboard:read:list_meetings:admin")) if "/metrics/" in r.path else None
    )
    found = findings(doctor(site_of(tmp_path, account, HARVESTER_ZOOM_MODE="dashboard")))
    assert found["zoom: login"]["state"] == "ok"
    assert found["zoom: reading"]["state"] == "fail"
    assert "add the scope dashboard:read:list_meetings:admin" in found["zoom: reading"]["fix"]
    assert "HARVESTER_ZOOM_MODE=auto" in found["zoom: reading"]["fix"]


def test_the_file_of_places_tells_its_age_and_is_to_be_renewed_when_it_is_old(tmp_path: Path, account: Account) -> None:
    file = write_mmdb(tmp_path / "places.mmdb", {"203.0.113.0/24": BOSTON})
    found = findings(doctor(site_of(tmp_path, account, HARVESTER_GEOIP_PATH=str(file))))["places"]
    assert found["state"] == "warn"
    assert "GeoLite2-City of 2023-11-14" in found["text"]
    assert "geoipupdate" in found["fix"]
    write_mmdb(file, {"203.0.113.0/24": BOSTON}, built=datetime.now(UTC) - timedelta(days=3))
    fresh = findings(doctor(site_of(tmp_path, account, HARVESTER_GEOIP_PATH=str(file))))["places"]
    assert (fresh["state"], "3 days old" in fresh["text"]) == ("ok", True)
    file.write_bytes(b"none")
    bad = findings(doctor(site_of(tmp_path, account, HARVESTER_GEOIP_PATH=str(file))))["places"]
    assert (bad["state"], "GeoLite2-City.mmdb" in bad["fix"]) == ("fail", True)
