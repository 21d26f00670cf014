"""The simulated GitHub's logins and limits."""

import asyncio
import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from harvester.sandbox.github_limits import EARLY, Limits, SpentError
from harvester.sandbox.github_refusals import RefusedError
from harvester.sandbox.github_settings import GITHUB_FAULTS, GitHubSandboxSettings
from harvester.sandbox.stats import Stats
from tests.unit.github_sandboxes import NOON, GitHubClient, github

ENFORCED = {"limits": "enforced", "repositories": 2, "pulls_per_day": 1.0}


class Tick:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def refusal_of(limits: Limits, settings: GitHubSandboxSettings, resource: Any = "core") -> RefusedError | None:
    try:
        limits.admit(settings, "somebody", resource, NOON)
    except RefusedError as refusal:
        return refusal
    return None


def left(answer: Any) -> int:
    return int(answer.headers["x-ratelimit-remaining"])


async def test_an_hour_is_counted_for_each_user_and_what_has_not_changed_costs_nothing() -> None:
    async with github(**ENFORCED, tokens=["one", "two"]) as client:
        client.token = "one"
        first = await client.get("/orgs/acme")
        assert (left(first), first.headers["x-ratelimit-used"], first.headers["x-ratelimit-resource"]) == (4999, "1", "core")
        assert int(first.headers["x-ratelimit-reset"]) == client.now + 3600
        again = await client.get("/orgs/acme", {"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.body, left(again)) == (304, b"", 4999)
        assert "W/" + again.headers["ETag"] == first.headers["ETag"]
        rates = (await client.get("/rate_limit")).json["resources"]
        assert (rates["core"]["remaining"], rates["graphql"]["remaining"]) == (4999, 5000)
        assert left(await client.get("/nowhere")) == 4998
        client.token = "two"
        assert left(await client.get("/orgs/acme", {"If-None-Match": first.headers["ETag"]})) == 4999
        client.advance(hours=1)
        client.token = "one"
        assert left(await client.get("/orgs/acme")) == 4999


async def test_an_etag_is_of_a_token_a_form_and_a_body() -> None:
    async with github(**ENFORCED, tokens=["one", "two"]) as client:
        tags = []
        for token, accept in (("one", "a/b"), ("one", "c/d"), ("two", "a/b")):
            client.token = token
            tags.append((await client.get("/orgs/acme", {"Accept": accept})).headers["ETag"])
        assert len(set(tags)) == 3
        client.token = "one"
        assert (await client.get("/orgs/acme", {"Accept": "a/b", "If-None-Match": tags[0]})).status == 304
        await client.control("/sandbox/clock", {"advance_seconds": 30 * 86_400})
        path = client.path() + "/pulls"
        before = (await client.get(path)).headers["ETag"]
        client.advance(days=3)
        assert (await client.get(path, {"If-None-Match": before})).status == 200


@pytest.mark.parametrize("primary", ["403", "429"])
async def test_a_spent_hour_is_refused_until_it_is_over_and_who_comes_again_violates_it(primary: str) -> None:
    async with github(**ENFORCED, hourly=2, primary=primary) as client:
        assert [left(await client.get("/orgs/acme")) for _ in range(2)] == [1, 0]
        await asyncio.sleep(0.15)  # what is under way when a limit is told is no violation
        refused = await client.get("/orgs/acme")
        assert (refused.status, left(refused)) == (int(primary), 0)
        assert "API rate limit exceeded" in refused.json["message"]
        assert client.running.stats.snapshot().violations == {"core an hour": 1}
        assert (await client.graphql("{ viewer { login } }")).status == 200  # another bucket
        client.advance(hours=1)
        assert (await client.get("/orgs/acme")).status == 200


async def test_graphql_tells_of_a_spent_hour_with_200() -> None:
    async with github(**ENFORCED, points=1) as client:
        query = "{ rateLimit { cost limit remaining used resetAt } }"
        told = (await client.graphql(query)).json["data"]["rateLimit"]
        assert told == {"cost": 1, "limit": 1, "remaining": 0, "used": 1, "resetAt": "2026-11-12T13:00:00Z"}
        refused = await client.graphql(query)
        assert (refused.status, refused.headers["x-ratelimit-remaining"]) == (200, "0")
        assert refused.json["errors"][0]["type"] == "RATE_LIMITED"
        assert refused.headers["x-ratelimit-resource"] == "graphql"


@pytest.mark.parametrize(("resource", "most"), [("core", 900), ("graphql", 2000)])
def test_a_burst_is_refused_and_the_wait_begins_anew_for_those_who_do_not_wait(resource: str, most: int) -> None:
    tick, stats = Tick(), Stats()
    limits, settings = Limits(stats, ticker=tick), GitHubSandboxSettings(hourly=10_000, points=10_000)
    assert [refusal_of(limits, settings, resource) for _ in range(most)] == [None] * most
    assert refusal_of(limits, settings, resource)
    assert stats.snapshot().violations == {f"{resource} a minute": 1}
    assert refusal_of(limits, settings, resource)  # it was under way
    assert EARLY not in stats.snapshot().violations
    tick.now += 59.9
    assert refusal_of(limits, settings, resource)
    assert stats.snapshot().violations[EARLY] == 1
    tick.now += 59.9
    assert refusal_of(limits, settings, resource)
    tick.now += 60.1
    assert refusal_of(limits, settings, resource) is None


@pytest.mark.parametrize("form", ["403-bare", "403-seconds", "429-seconds", "429-date"])
def test_each_form_of_a_secondary_refusal_says_or_hides_when_to_come_again(form: Any) -> None:
    settings = GitHubSandboxSettings(secondary=form, pace=0.001)
    limits = Limits(Stats(), ticker=Tick())
    assert refusal_of(limits, settings) is None
    refusal = refusal_of(limits, settings)
    assert refusal is not None
    assert refusal.status == int(form[:3])
    assert "secondary rate limit" in str(refusal)
    again = refusal.headers.get("Retry-After")
    match form[4:]:
        case "bare":
            assert again is None
            assert refusal.headers["gh-limited-by"]
            assert int(refusal.headers["x-ratelimit-remaining"]) > 0
        case "seconds":
            assert again == "60"
        case "date":
            assert parsedate_to_datetime(again or "") == NOON + timedelta(seconds=60)


def test_limits_that_are_switched_off_count_nothing_and_a_clock_that_is_set_back_begins_a_new_hour() -> None:
    limits = Limits(Stats(), ticker=Tick())
    off = GitHubSandboxSettings(limits="off", hourly=0, pace=0.001)
    assert [refusal_of(limits, off) for _ in range(3)] == [None] * 3
    assert limits.headers(off, "somebody", "core", NOON) == {}
    settings = GitHubSandboxSettings(hourly=1)
    limits.spend(settings, "somebody", "core", 1, NOON)
    with pytest.raises(SpentError):
        limits.admit(settings, "somebody", "core", NOON)
    limits.admit(settings, "somebody", "core", NOON - timedelta(days=1))


async def test_requests_under_way_at_once_are_counted() -> None:
    async with github(repositories=1, concurrent=3, latency=0.1) as client:
        await asyncio.gather(*(client.get("/orgs/acme") for _ in range(5)))
        assert (await client.control("/sandbox/stats"))["violations"] == {"concurrent": 2}


@pytest.mark.parametrize("kind", [kind for kind in GITHUB_FAULTS.requests if kind[:3].isdigit()])
async def test_each_refusal_of_a_fault_has_the_form_that_was_recorded(kind: str) -> None:
    async with github(**ENFORCED, faults={kind: 1}) as client:
        answer = await client.get("/orgs/acme")
        assert answer.status == int(kind[:3])
        assert ("Retry-After" in answer.headers) == kind.endswith(("-seconds", "-date"))
        assert (b"secondary rate limit" in answer.body) == kind.startswith("4")
        assert answer.headers["X-GitHub-Request-Id"]
        assert (await client.get("/orgs/acme")).status == 200


async def test_scopes_are_told_and_without_repo_private_repositories_are_not_there() -> None:
    async with github(repositories=3, scopes="read:org") as client:
        private = client.repository(1)
        answer = await client.get("/orgs/acme/repos")
        assert answer.headers["X-OAuth-Scopes"] == "read:org"
        assert [row["private"] for row in answer.json] == [False, False]
        assert (await client.get(client.named(1))).status == 404
        assert (await client.get(client.path(1))).status == 404
        query = f'{{ repository(owner: "acme", name: "{private.name(client.now)}") {{ id }} }}'
        assert (await client.graphql(query)).json["errors"][0]["type"] == "NOT_FOUND"
        await client.control("/sandbox/switches", {"scopes": ""})
        answer = await client.get("/orgs/acme/repos")
        assert (len(answer.json), "X-OAuth-Scopes" in answer.headers) == (3, False)


@pytest.mark.parametrize(("token", "message"), [("", "Requires authentication"), ("ghs_x", "Bad credentials")])
async def test_without_a_good_token_nothing_is_answered(token: str, message: str) -> None:
    async with github(repositories=1) as client:
        client.token = token
        for answer in (await client.get("/user"), await client.graphql("{ viewer { login } }")):
            assert (answer.status, answer.json["message"]) == (401, message)
        client.token = "sandbox-token"
        assert (await client.get("/user", {"Authorization": "token sandbox-token"})).status == 200


def signed(pem: bytes, **claims: Any) -> str:
    """A JWT."""
    key = load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    signature = key.sign(b".".join(parts), padding.PKCS1v15(), SHA256())
    return b".".join((*parts, urlsafe_b64encode(signature).rstrip(b"="))).decode()


async def granted(client: GitHubClient, installation: int = 77, **claims: Any) -> Any:
    pem = (await client.get("/sandbox/app-key")).body
    given = {"iss": "4242", "iat": client.now - 60, "exp": client.now + 540, **claims}
    return await client.post(f"/app/installations/{installation}/access_tokens", {}, signed(pem, **given))


async def test_an_app_gets_tokens_for_an_hour_that_share_the_limits_of_the_installation() -> None:
    async with github(**ENFORCED) as client:
        first, second = await granted(client), await granted(client)
        assert (first.status, first.json["expires_at"]) == (201, "2026-11-12T13:00:00Z")
        tags = set()
        for nth, token in enumerate((first.json["token"], second.json["token"])):
            client.token = token
            answer = await client.get("/orgs/acme/repos")
            assert (len(answer.json), left(answer)) == (2, 4999 - nth)
            assert "X-OAuth-Scopes" not in answer.headers
            tags.add(answer.headers["ETag"])
        assert len(tags) == 2
        assert (await client.get("/user")).status == 403
        client.advance(hours=1)
        assert (await client.get("/orgs/acme")).json["message"] == "Bad credentials"


async def test_what_an_app_signs_wrongly_gets_no_token() -> None:
    async with github(repositories=1) as client:
        assert (await granted(client, exp=client.now)).status == 401
        assert "too far in the future" in (await granted(client, exp=client.now + 700)).json["message"]
        assert (await granted(client, iat=client.now + 120)).status == 401
        assert (await granted(client, iss=1)).status == 404
        assert (await granted(client, installation=78)).status == 404
        forged = await client.post("/app/installations/77/access_tokens", {}, "a.b.c")
        assert (forged.status, forged.json["message"]) == (401, "A JSON web token could not be decoded")


async def test_what_is_under_way_over_the_hours_edge_makes_no_new_hour_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    admitted, usual = asyncio.Event(), Limits.admit

    def admit(*given: Any) -> None:
        usual(*given)
        admitted.set()

    async with github(**ENFORCED, tokens=["one"], latency=0.2) as client:
        client.token = "one"
        await client.get("/orgs/acme")
        client.advance(minutes=59, seconds=59)
        monkeypatch.setattr(Limits, "admit", admit)
        old = asyncio.create_task(client.get("/orgs/acme"))
        async with asyncio.timeout(10):
            await admitted.wait()
        client.advance(seconds=2)
        young = [asyncio.create_task(client.get("/orgs/acme")) for _ in range(3)]
        answers = await asyncio.gather(old, *young)
        assert sorted(left(answer) for answer in answers) == [4996, 4997, 4998, 4999]


@pytest.mark.parametrize("fault", ["truncated", "half-json"])
async def test_an_answer_without_a_body_cannot_be_cut(fault: str) -> None:
    async with github(repositories=1, traps=False) as client:
        tag = (await client.get("/orgs/acme/repos")).headers["ETag"]
        client.running.sandbox.set_faults({fault: 1})
        assert (await client.get("/orgs/acme/repos", {"If-None-Match": tag})).status == 304
