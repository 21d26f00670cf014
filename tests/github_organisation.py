"""A GitHub organisation of a few repositories that a test scripts: a real server on loopback, every answer in its hand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha1
from typing import Any

import msgspec
from aiohttp import web

from harvester.coverage import Interval
from harvester.protocols import Page, Stream
from harvester.retry import Retry
from harvester.sources.github import Github, GithubSettings, open_github
from harvester.sources.github_pacing import Pacing
from tests.opencast_table import Got
from tests.threaded import threaded
from tests.unit.webserver import serving

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
DAY = Interval(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
YOUNG = Interval(NOW - timedelta(hours=1), NOW)
QUICK = Retry(attempts=2, scale=0)
TOKEN = "ghp_c4nary"
Row = dict[str, Any]
Reply = Callable[[web.BaseRequest, str], web.Response | None]
_ALIAS = re.compile(r"p(\d+):pullRequest")
_HEADERS = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": "1793732400"}


def at(seconds: float, since: datetime = DAY.start) -> str:
    return f"{since + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Pull:
    """A pull request, or with `issue` an issue."""

    number: int
    updated: str
    commits: int = 1
    reviews: list[Row] = field(default_factory=list)
    author: Row | None = field(default_factory=lambda: {"__typename": "User", "login": "ada", "databaseId": 7})
    state: str = "open"
    issue: bool = False
    title: str = "A change"

    def listed(self) -> Row:
        row = {"id": 1000 + self.number, "number": self.number, "updated_at": self.updated, "state": self.state}
        return row if self.issue else {**row, "pull_request": {"url": f"…/pulls/{self.number}"}}

    def oids(self) -> list[str]:
        return [sha1(f"{self.number}/{n}".encode()).hexdigest() for n in range(self.commits)]

    def node(self) -> Row:
        commits = [{"commit": _commit(oid)} for oid in self.oids()]
        node = {"number": self.number, "databaseId": 9000 + self.number, "id": f"PR_{self.number}", "title": self.title}
        node |= {"state": self.state.upper(), "createdAt": at(-86400), "updatedAt": self.updated, "author": self.author}
        node |= {"additions": 3, "deletions": 1, "changedFiles": 2, "merged": False, "comments": {"totalCount": 0}}
        info = {"hasNextPage": len(commits) > 50, "endCursor": "50" if len(commits) > 50 else None}
        node["commits"] = {"totalCount": len(commits), "pageInfo": info, "nodes": commits[:50]}
        whole = {"hasNextPage": False, "endCursor": None}
        return {**node, "reviews": {"totalCount": len(self.reviews), "pageInfo": whole, "nodes": self.reviews}}

    def detail(self) -> Row:
        user = None if self.author is None else {"login": self.author["login"], "id": 7, "type": "User"}
        row = {"number": self.number, "id": 9000 + self.number, "title": self.title, "created_at": at(-86400)}
        row |= {"updated_at": self.updated, "user": user, "additions": 3, "commits": self.commits, "state": self.state}
        return {**row, "base": {"sha": "b" * 40}, "head": {"sha": "a" * 40, "repo": None}}


def _commit(oid: str) -> Row:
    person = {"name": "Ada", "email": "ada@example.org", "user": None}
    return {"oid": oid, "message": "work", "committedDate": at(-3600), "author": person, "committer": person}


def rest_commit(oid: str) -> Row:
    signed = {"name": "Ada", "email": "ada@example.org", "date": at(-3600)}
    return {"sha": oid, "commit": {"message": "work", "author": signed, "committer": signed}, "author": None, "committer": None}


def review(number: int, state: str = "APPROVED", comments: int = 0, **fields: Any) -> Row:
    """A review as GraphQL gives it."""
    row = {"databaseId": number, "id": f"R_{number}", "state": state, "body": "", "submittedAt": at(10), "updatedAt": at(10)}
    return {**row, "author": {"__typename": "User", "login": "bob"}, "comments": {"totalCount": comments}, **fields}


def comment(number: int, updated: str, on: int = 1, *, issue: bool = False, **fields: Any) -> Row:
    """An issue comment as REST gives it, on a pull request unless told."""
    html = f"https://github.com/acme/widgets/{'issues' if issue else 'pull'}/{on}#issuecomment-{number}"
    row = {"id": number, "html_url": html, "issue_url": f"https://api.github.com/repos/acme/widgets/issues/{on}"}
    return {**row, "created_at": at(-100), "updated_at": updated, "user": None, "body": "hm", **fields}


@dataclass
class Repo:
    """A repository: `issues_off` and `gone` are refused as GitHub does."""

    id: int = 1
    name: str = "widgets"
    pulls: list[Pull] = field(default_factory=list)
    review_comments: list[Row] = field(default_factory=list)
    issue_comments: list[Row] = field(default_factory=list)
    issues_off: bool = False
    comments_off: bool = False
    gone: int = 0
    owner: str = "acme"

    def listed(self) -> Row:
        row = {"id": self.id, "node_id": f"N_{self.id}", "name": self.name, "full_name": f"{self.owner}/{self.name}"}
        return {**row, "owner": {"login": self.owner}, "created_at": at(-1e6), "updated_at": at(0), "private": False}


@dataclass
class Organisation:
    """What is there, what was asked, and what answers in the place of it all (`reply`, None: nothing does)."""

    repos: list[Repo] = field(default_factory=lambda: [Repo()])
    reply: Reply = lambda *_: None
    now: datetime = NOW
    calls: list[str] = field(default_factory=list)
    """Paths with queries; of GraphQL what was asked for."""
    tokens: list[str] = field(default_factory=list)
    most: int = 100
    """Rows of a page at most."""
    after: Callable[["Organisation"], object] = lambda _: None
    """Called behind each list, and may change everything."""
    headers: dict[str, str] = field(default_factory=lambda: dict(_HEADERS))
    url: str = ""
    in_flight: int = 0
    most_in_flight: int = 0

    @property
    def repo(self) -> Repo:
        return self.repos[0]

    def count(self, part: str) -> int:
        return sum(part in call for call in self.calls)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = (await request.read()).decode()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self.calls.append(f"graphql {body}" if request.path.endswith("/graphql") else request.raw_path)
            self.tokens.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
            response = self.reply(request, body) or self._usual(request, body)
        finally:
            self.in_flight -= 1
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        response.headers["Date"] = f"{self.now:%a, %d %b %Y %H:%M:%S GMT}"
        return response

    def _usual(self, request: web.BaseRequest, body: str) -> web.Response:
        if request.path == "/graphql":
            return self._graphql(json.loads(body))
        if request.path == "/orgs/acme/repos":
            return self._page(request, [repo.listed() for repo in self.repos if not repo.gone])
        if found := re.fullmatch(r"/repositories/(\d+)", request.path):
            there = [r for r in self.repos if r.id == int(found[1]) and not r.gone]
            return web.json_response(there[0].listed()) if there else refusal(404, "Not Found")
        found = re.fullmatch(r"/repos/(\w+)/(\w+)/(.+)", request.path)
        repos = [repo for repo in self.repos if found and (repo.owner, repo.name) == (found[1], found[2])]
        if not found or not repos or repos[0].gone:
            return refusal(repos[0].gone if repos else 404, "Not Found")
        return self._of(repos[0], found[3], request)

    def _of(self, repo: Repo, what: str, request: web.BaseRequest) -> web.Response:
        query = request.query
        if what == "issues":
            rows = [p.listed() for p in repo.pulls if query.get("state", "open") in ("all", p.state)]
            return refusal(410, "Issues are disabled") if repo.issues_off else self._changed(request, rows)
        if what == "pulls":
            return self._changed(request, [p.detail() for p in repo.pulls if not p.issue])
        if what == "pulls/comments":
            return self._changed(request, repo.review_comments)
        if what.startswith("issues/"):
            return self._comments(repo, what, request)
        if what.startswith("compare/"):
            commits = [rest_commit(oid) for oid in max(repo.pulls, key=lambda p: p.commits).oids()]
            first = (int(query["page"]) - 1) * int(query["per_page"])
            told = {"total_commits": len(commits), "commits": commits[first : first + int(query["per_page"])]}
            return web.json_response(told)  # without links
        return self._of_pull(repo, what, request)

    def _comments(self, repo: Repo, what: str, request: web.BaseRequest) -> web.Response:
        if what == "issues/comments":
            return refusal(410, "Issues are disabled") if repo.comments_off else self._changed(request, repo.issue_comments)
        on = what.removesuffix("/comments")
        return self._changed(request, [row for row in repo.issue_comments if row["issue_url"].endswith(f"/{on}")])

    def _of_pull(self, repo: Repo, what: str, request: web.BaseRequest) -> web.Response:
        found = re.fullmatch(r"pulls/(\d+)(/\w+)?", what)
        pulls = {p.number: p for p in repo.pulls if not p.issue}
        if not found or int(found[1]) not in pulls:
            return refusal(404, "Not Found")
        pull = pulls[int(found[1])]
        if found[2] == "/commits":
            return self._page(request, [rest_commit(oid) for oid in pull.oids()[:250]])
        if found[2] == "/reviews":
            told = ("databaseId", "id"), ("state", "state"), ("submittedAt", "submitted_at")
            return self._page(request, [{new: r[old] for old, new in told} | {"user": None} for r in pull.reviews])
        return web.json_response(pull.detail())

    def _changed(self, request: web.BaseRequest, rows: list[Row]) -> web.Response:
        query, down = request.query, request.query.get("direction") == "desc"
        rows = sorted(rows, key=lambda r: (r["updated_at"], r["id"]), reverse=down)
        return self._page(request, [row for row in rows if row["updated_at"] >= query.get("since", "")])

    def _page(self, request: web.BaseRequest, rows: list[Row]) -> web.Response:
        size, page = min(self.most, int(request.query.get("per_page", 30))), int(request.query.get("page", 1))
        response = web.json_response(rows[(page - 1) * size : page * size])
        if page * size < len(rows):
            following = request.url.with_query({**request.query, "page": str(page + 1)})
            response.headers["Link"] = f'<{following}>; rel="next", <{following}>; rel="last"'
        tag = sha1((response.text or "").encode()).hexdigest()
        response.headers["ETag"] = f'"{tag}"'
        if request.headers.get("If-None-Match") == f'"{tag}"':
            response = web.Response(status=304, headers={"ETag": f'"{tag}"'})
        self.after(self)
        return response

    def _graphql(self, asked: Mapping[str, Any]) -> web.Response:
        query, variables = asked["query"], asked["variables"]
        rate = {"cost": 1, "remaining": 4999, "resetAt": at(0)}
        if "organization(" in query:
            return web.json_response({"data": {"organization": {"repositories": self._canary(variables)}, "rateLimit": rate}})
        found = [repo for repo in self.repos if f"N_{repo.id}" == variables["id"] and not repo.gone]
        if not found:
            error = {"type": "NOT_FOUND", "path": ["node"], "message": "Could not resolve to a node"}
            return web.json_response({"data": {"node": None, "rateLimit": rate}, "errors": [error]})
        repo, errors = found[0], []
        pulls = {p.number: p for p in repo.pulls if not p.issue}
        node: Row = {"id": variables["id"], "databaseId": repo.id, "name": repo.name, "owner": {"login": repo.owner}}
        if more := re.search(r"p:pullRequest\(number:(\d+)\)\{commits", query):
            start = int(variables["after"])
            oids = pulls[int(more[1])].oids()[:250]
            rows = [{"commit": _commit(oid)} for oid in oids[start : start + 100]]
            info = {"hasNextPage": start + 100 < len(oids), "endCursor": str(start + 100)}
            node["p"] = {"commits": {"totalCount": pulls[int(more[1])].commits, "pageInfo": info, "nodes": rows}}
        for number in map(int, _ALIAS.findall(query)):
            node[f"p{number}"] = pulls[number].node() if number in pulls else None
            if number not in pulls:
                errors.append({"type": "NOT_FOUND", "path": ["node", f"p{number}"], "message": "Could not resolve"})
        told = {"data": {"node": node, "rateLimit": rate}}
        return web.json_response({**told, "errors": errors} if errors else told)

    def _canary(self, variables: Mapping[str, Any]) -> Row:
        there = [repo for repo in self.repos if not repo.gone]
        start, size = int(variables["after"] or 0), variables["first"]
        nodes = []
        for repo in there[start : start + size]:
            changed = sorted(p.updated for p in repo.pulls if not p.issue)[-1:]
            node = {"id": f"N_{repo.id}", "databaseId": repo.id, "name": repo.name, "owner": {"login": repo.owner}}
            nodes.append({**node, "pullRequests": {"nodes": [{"updatedAt": t} for t in changed]}})
        return {"pageInfo": {"hasNextPage": start + size < len(there), "endCursor": str(start + size)}, "nodes": nodes}


def of_pulls(*pulls: Pull, **more: object) -> Organisation:
    return Organisation([Repo(pulls=list(pulls))], **more)  # type: ignore[arg-type]


def refusal(status: int, message: str, **headers: str) -> web.Response:
    """An error as GitHub words it."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"message": message, "documentation_url": "https://docs.github.com"}, status=status, headers=told)


def asked_for(call: str) -> list[int]:
    """The pull requests that a call of GraphQL asked for."""
    return [int(number) for number in _ALIAS.findall(call)]


class Clock:
    """The seconds by which a source waits: they pass by waiting alone."""

    def __init__(self, organisation: Organisation | None = None) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []
        self._organisation = organisation

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Those who sleep at the same time sleep through the same seconds."""
        self.slept.append(seconds)
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.pass_by(max(0.0, until - self.seconds))

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
        if self._organisation is not None:
            self._organisation.now += timedelta(seconds=seconds)

    @property
    def pacing(self) -> Pacing:
        return Pacing(self.monotonic, self.sleep)


def settings(url: str = "http://127.0.0.1", **switches: Any) -> GithubSettings:
    return GithubSettings.model_validate({"token": TOKEN, "org": "acme", "url": url, **switches})


@asynccontextmanager
async def served(organisation: Organisation, retry: Retry = QUICK, **switches: Any) -> AsyncIterator[Github]:
    """A source that reads this organisation, without ever really waiting."""
    hears = {n: switches.pop(n) for n in ("on_mode", "on_wait", "on_allowance", "on_request", "pacing") if n in switches}
    async with serving(organisation.answer) as server:
        organisation.url = str(server.url).rstrip("/")
        async with open_github(settings(organisation.url, **switches), retry=retry, **hears) as source:
            yield source


@contextmanager
def beside(organisation: Organisation) -> Iterator[Organisation]:
    """Serve it while the block runs, for commands that have a loop of their own."""
    with threaded(partial(serving, organisation.answer), "github") as server:
        organisation.url = str(server.url).rstrip("/")
        yield organisation


def environment(organisation: Organisation) -> dict[str, str]:
    """The settings of an installation that reads it."""
    return {"GITHUB_TOKEN": TOKEN, "GITHUB_ORG": "acme", "HARVESTER_GITHUB_URL": organisation.url}


async def stream_of(source: Github, kind: str = "pulls", repo: int = 1) -> Stream:
    [found] = [s for s in await source.streams() if s.name in (f"{kind}/{repo}", kind)]
    return found


async def read(stream: Stream, window: Interval = DAY, notes: bytes = b"") -> Got:
    pages = [page async for page in stream.fetch(window, notes)]
    return Got([e for p in pages for e in p.events], [b for p in pages for b in p.broken], pages)


async def read_up_to_an_error(stream: Stream, window: Interval = DAY, notes: bytes = b"") -> tuple[list[Page], Exception | None]:
    pages: list[Page] = []
    try:
        async for page in stream.fetch(window, notes):
            pages.append(page)  # noqa: PERF401 - those before an error count
    except Exception as error:  # noqa: BLE001 - whatever it is
        return pages, error
    return pages, None


def numbers(got: Got) -> list[int]:
    """Of the pull requests, in their order."""
    return [int(e.subject.partition("/")[2]) for e in got.events if e.type == "github.pull_request"]


def data(events: Any, kind: str) -> list[Row]:
    return [msgspec.json.decode(e.data) for e in events if e.type == f"github.{kind}"]
