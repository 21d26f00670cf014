"""E68: what stands in `.env` alone, by the predecessor's names, suffices for every command of section E."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from harvester.sandbox.episodes import lectures
from harvester.settings import CoreSettings, load
from tests.services import ElasticsearchServer, Server
from tests.site import HOUR, NOON, PASSWORD, Site, stamp, world
from tests.zoom_account import Account, beside, environment, meeting, stay


def site_of(folder: Path, lines: Mapping[str, str], **around: str) -> Site:
    """A folder with these lines in its `.env`. `around`: where AWS and the vendors of a test are, and who we are at AWS."""
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    (folder / ".env").chmod(0o600)
    return Site(folder, **around)


def six(vendor: str) -> dict[str, str]:
    """User, password, engage host, bucket, key and queue."""
    return {
        "MATTERHORN_REST_USER": "harvester",
        "MATTERHORN_REST_PASS": PASSWORD,
        "MATTERHORN_ENGAGE_HOST": vendor,
        "S3_HARVEST_TS_BUCKET": f"harvest-{uuid4().hex[:12]}",
        "S3_LAST_ACTION_TS_KEY": "last-action-ts",
        "SQS_QUEUE_NAME": f"prod-user-actions-{uuid4().hex[:12]}",
    }


def aws(sqs: Server, s3: Server) -> dict[str, str]:
    """As a role on a host of AWS gives it. No region: the predecessor had none to set."""
    login = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}
    nowhere = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/dev/null"}
    return {**login, **nowhere, "AWS_ENDPOINT_URL_SQS": sqs.url, "AWS_ENDPOINT_URL_S3": s3.url}


def test_e68_the_six_lines_suffice_for_useractions_and_for_who_reads_them(tmp_path: Path, sqs: Server, s3: Server) -> None:
    with world() as vendor:
        site = site_of(tmp_path, six(vendor.url), **aws(sqs, s3))
        truth = vendor.truth(NOON - HOUR, NOON)
        done = site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON), "-w", "0")
        assert (done.code, f"published {len(truth):,} +" in done.err) == (0, True), done.err
        again = site.harvest("useractions", "-w", "0")
        assert again.code == 0, again.err
        assert site.harvest("setup").code == 0, "the bucket, for letters"
        assert site.consume().code == 0
        assert site.held().keys() >= truth.keys()
        assert site.harvest("dead-letters", "list").code == 0


def test_e68_without_the_bucket_a_store_of_letters_has_to_be_named(tmp_path: Path) -> None:
    lines = six("http://127.0.0.1:9")
    del lines["S3_HARVEST_TS_BUCKET"], lines["S3_LAST_ACTION_TS_KEY"]
    done = site_of(tmp_path, lines).harvest("useractions")
    assert done.code == 3
    assert "HARVESTER_LETTERS_URL (not set): it is needed beside a queue on SQS" in done.err


def test_e68_admin_host_and_es_host_are_added_for_load_episodes(
    tmp_path: Path, sqs: Server, s3: Server, elasticsearch_any: ElasticsearchServer
) -> None:
    mpid = next(lecture.mpid for lecture in lectures("sandbox") if lecture.exists and lecture.recorded is None)
    with world() as vendor:
        lines = six(vendor.url) | {"MATTERHORN_ADMIN_HOST": vendor.url, "ES_HOST": elasticsearch_any.url.removeprefix("http://")}
        site = site_of(tmp_path, lines, **aws(sqs, s3))
        assert site.harvest("setup", "load_index_templates").code == 0
        done = site.harvest("load_episodes", "--mpid", mpid, "--wait", "0", "--json")
        assert (done.code, done.json["indexed"]) == (0, 1), done.err


def test_e68_account_key_and_secret_are_added_for_zoom(tmp_path: Path) -> None:
    account = Account([meeting("a==")], {"a==": [stay()]})
    with beside(account):
        given = environment(account)
        lines = {
            "ZOOM_ACCOUNT_ID": given.pop("ZOOM_ACCOUNT_ID"),
            "ZOOM_KEY": given.pop("ZOOM_CLIENT_ID"),
            "ZOOM_SECRET": given.pop("ZOOM_CLIENT_SECRET"),
        }
        done = site_of(tmp_path, lines, **given).harvest("zoom", "--destination", "stdout")
        assert (done.code, len(done.lines)) == (0, 2), done.err


@pytest.mark.parametrize(
    ("lines", "around", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, {}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1"}, {"AWS_REGION": "eu-north-1"}, "eu-north-1"),
        ({"HARVESTER_AWS_REGION": "eu-west-1"}, {"AWS_REGION": "eu-north-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, {}, "eu-west-1"),
        ({}, {}, ""),
    ],
)
def test_e69_the_region_is_a_setting_by_the_name_that_aws_has_for_it(
    tmp_path: Path, lines: dict[str, str], around: dict[str, str], region: str
) -> None:
    site_of(tmp_path, lines)
    assert load(CoreSettings, environ=around, cwd=tmp_path).get(CoreSettings).aws_region == region
