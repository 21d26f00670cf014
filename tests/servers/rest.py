"""Requests to an Elasticsearch, with the standard library alone."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

ANSWER = 60  # seconds for one answer
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy that the environment names."""


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, what: str, status: int, body: str) -> None:
        super().__init__(f"{what}: {status} {body[:1000]}")
        self.status = status
        self.body = body


def call(url: str, method: str, path: str, body: object = None) -> Any:
    """One request; the decoded answer. RefusedError for any status but 2xx, OSError when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with DIRECT.open(request, timeout=ANSWER) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise RefusedError(f"{method} {path}", error.code, error.read().decode(errors="replace")) from None
    except http.client.HTTPException as error:
        raise ConnectionError(f"{method} {path}: a cut answer: {error}") from error
    return json.loads(text) if text else None


def version_at(url: str) -> str:
    (node,) = call(url, "GET", "/_nodes/_local?filter_path=nodes.*.version")["nodes"].values()
    return str(node["version"])


def check_ready(url: str, cluster: str | None = None) -> None:
    """OSError while it does not take writes yet. AssertionError for another cluster: it is not taken for ours."""
    try:
        health = call(url, "GET", "/_cluster/health?wait_for_status=yellow&timeout=30s&wait_for_events=languid")
    except RefusedError as error:
        raise ConnectionError(str(error)) from error
    if cluster is not None and health["cluster_name"] != cluster:
        raise AssertionError(f"another server answers at {url}: {health['cluster_name']}")
