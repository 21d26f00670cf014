"""The entry of a Cloud Function (second generation, HTTP) that Cloud Scheduler calls: one collection
of what changed since the last.

deployment/deploy.sh puts this file beside the packages of the product. Settings are the function's variables; the state of a run
is in memory (/tmp), what is to stay is in the archive and in BigQuery.
"""  # noqa: INP001 - the platform wants a file of this name, alone

import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = ("github", "collect", "--go-on")
ENDED = {0: "complete", 3: "failed: a setting is wrong", 4: "refused for safety", 5: "partial: see the log for what is missing"}


def collect(_request: object) -> tuple[str, int]:
    """How the collection ended, in words, and 200 when it is complete: the schedule shows everything else as a failure.

    A process of its own, so that what one call leaves in memory does not reach the next.
    """
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "PYTHONPATH": str(here)}
        done = subprocess.run([sys.executable, "-m", "harvester", *COMMAND], cwd=state, env=environment, check=False)  # noqa: S603 - our own words
    said = ENDED.get(done.returncode, "failed")
    return f"{said} (exit code {done.returncode})\n", 200 if done.returncode == 0 else 500
