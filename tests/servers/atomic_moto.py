"""Run as a script, with moto's own options: its server, which does one thing at a time.

By itself moto answers in threads that share its objects without a lock. Of two writes on the same condition both may pass, so the
first is lost, and a read beside a write may find its file closed (500). No S3 does that.
"""

import io
import threading
from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

from moto import server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication


class OneAtATime(DomainDispatcherApplication):
    """Requests are read beside each other and done one after the other."""

    _doing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if length := environ.get("CONTENT_LENGTH"):
            # Before the lock: a client that stands still in the middle of its request must hold up nobody else.
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
        with self._doing:
            answer: Iterable[bytes] = super().__call__(environ, start_response)
            return answer


if __name__ == "__main__":
    with patch.object(server, "DomainDispatcherApplication", OneAtATime):
        server.main()
