"""A small server that checks of an import what Kibana's checks, and keeps what it took. It is no Kibana: nothing is drawn.

As in elastic/kibana: src/core/packages/saved-objects/server-internal/src/routes/import.ts and import-export-server-internal.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from aiohttp import web

from tests.threaded import threaded
from tests.unit.webserver import serving

KNOWN = {"index-pattern": (8, 0, 0), "search": (8, 0, 0), "dashboard": (10, 1, 0)}
"""The types that it has, and how new an object of each may be."""
Reply = Callable[[web.BaseRequest], web.Response | None]


def refused(status: int, message: str) -> web.Response:
    """As Kibana words an error."""
    return web.json_response({"statusCode": status, "error": "Bad Request", "message": message}, status=status)


class Kibana:
    """What it has, and what was asked of it. `reply`: answers in the place of everything else."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.logins: list[str] = []
        self.url = ""
        self.base = ""
        """Path under which it is."""
        self.reply: Reply = lambda _: None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.logins.append(request.headers.get("Authorization", ""))
        if (answer := self.reply(request)) is not None:
            return answer
        place = request.path.removeprefix(f"{self.base}/api/saved_objects/")
        if request.method != "POST" or place not in ("_import", "_export"):
            return web.json_response({"statusCode": 404, "error": "Not Found", "message": "Not Found"}, status=404)
        if "kbn-xsrf" not in request.headers:
            return refused(400, "Request must contain a kbn-xsrf header.")
        if place == "_export":
            return self._export(await request.json())
        if request.content_type != "multipart/form-data":
            return web.json_response({"statusCode": 415, "message": "Unsupported Media Type"}, status=415)
        return self._import(await request.post(), overwrite=request.query.get("overwrite") == "true")

    def _import(self, form: Any, *, overwrite: bool) -> web.Response:
        part = form.get("file")
        if not isinstance(part, web.FileField):
            return refused(400, "[request body.file]: expected value of type [Stream] but got [undefined]")
        if not part.filename.endswith(".ndjson"):
            return refused(400, f"Invalid file extension .{part.filename.rpartition('.')[2]}")
        try:
            objects = [json.loads(line) for line in part.file.read().decode().splitlines() if line.strip()]
        except ValueError as error:
            return refused(400, str(error))
        keys = [(one["type"], one["id"]) for one in objects]
        if len(set(keys)) < len(keys):
            return refused(400, "Non-unique import objects detected")
        for one in objects:
            limit = KNOWN.get(one["type"])
            if limit and tuple(map(int, one["typeMigrationVersion"].split("."))) > limit:
                return refused(422, f'Document "{one["id"]}" belongs to a more recent version of Kibana')
        return web.json_response(self._taken(objects, {*keys, *self.objects}, overwrite=overwrite))

    def _export(self, asked: Any) -> web.Response:
        """The objects with all that they refer to, and a summary in the last line."""
        todo, lines, missing = [(one["type"], one["id"]) for one in asked["objects"]], dict[tuple[str, str], Any](), list[Any]()
        while todo:
            key = todo.pop()
            if key in lines:
                continue
            if key not in self.objects:
                missing.append({"type": key[0], "id": key[1]})
                continue
            lines[key] = self.objects[key]
            todo += [(one["type"], one["id"]) for one in lines[key]["references"]]
        summary = {"exportedCount": len(lines), "missingRefCount": len(missing), "missingReferences": missing}
        return web.Response(text="\n".join(map(json.dumps, [*lines.values(), summary])), content_type="application/ndjson")

    def _taken(self, objects: list[dict[str, Any]], there: set[tuple[str, str]], *, overwrite: bool) -> dict[str, Any]:
        done, errors = [], []
        for one in objects:
            key, title = (one["type"], one["id"]), one["attributes"]["title"]
            # of all references only those to data views and searches are looked up
            views = [ref for ref in one["references"] if ref["type"] in ("index-pattern", "search")]
            missing = [{"type": ref["type"], "id": ref["id"]} for ref in views if (ref["type"], ref["id"]) not in there]
            error: dict[str, Any] | None = None
            if one["type"] not in KNOWN:
                error = {"type": "unsupported_type"}
            elif missing:
                error = {"type": "missing_references", "references": missing}
            elif key in self.objects and not overwrite:
                error = {"type": "conflict"}
            meta = {"title": title, "icon": "dashboardApp"}
            if error is not None:
                errors.append({"type": key[0], "id": key[1], "title": title, "meta": meta, "error": error})
                continue
            done.append({"type": key[0], "id": key[1], "meta": meta, **({"overwrite": True} if key in self.objects else {})})
            self.objects[key] = one
        found = {"success": not errors, "successCount": len(done), "warnings": [], "successResults": done}
        return found | ({"errors": errors} if errors else {})


@contextmanager
def kibana() -> Iterator[Kibana]:
    """Serves from a thread while the block runs."""
    found = Kibana()
    with threaded(partial(serving, found), "kibana") as server:
        found.url = str(server.url).rstrip("/")
        yield found
