"""The Dockerfile, read, and its first stage executed without an engine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from tests.containers.compose import ROOT

DOCKERFILE = ROOT / "docker/Dockerfile"
UNPRIVILEGED = ("unshare", "--user", "--map-user=10001", "--map-group=10001")
"""Where root runs the tests: a name space in which it is uid 10001, without any right that root has."""


class Step(NamedTuple):
    """One instruction and what it is given."""

    word: str
    text: str


def stages(text: str) -> list[list[Step]]:
    """The steps of each stage, its FROM first; those before the first are a stage of their own."""
    lines = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#"))).splitlines()
    found: list[list[Step]] = [[]]
    for line in filter(None, lines):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Step(word, rest.strip()))
    return found


def said(stage: list[Step], word: str) -> list[str]:
    return [step.text for step in stage if step.word == word]


def faults(text: str) -> list[str]:
    """What breaks S70 or the start of the compose file, by name."""
    before, *made = stages(text)
    last = made[-1]
    installs = [
        step.text for stage in made for step in stage if step.word == "RUN" and "pip" in step.text and "install" in step.text
    ]
    rules = {
        "base by ARG": said(before, "ARG") and all(said(stage, "FROM")[0].startswith("${PYTHON}") for stage in made),
        "base pinned by tag": re.fullmatch(r"PYTHON=python:3\.\d+-slim-\w+", "".join(said(before, "ARG"))),
        "several stages": len(made) > 1,
        "nothing runs in the last stage": not said(last, "RUN"),
        "hashed wheels": any("--require-hashes" in text and "--only-binary :all:" in text for text in installs),
        "nothing else installed": all(
            "--require-hashes" in text or ("--no-index" in text and "--no-deps" in text) for text in installs
        ),
        "no installer in the environment": any("--without-pip" in text for stage in made for text in said(stage, "RUN")),
        "user": said(last, "USER") == ["10001:10001"],
        "volume": said(last, "VOLUME") == said(last, "WORKDIR") == ["/var/lib/harvester"],
        "signal": said(last, "STOPSIGNAL") == ["SIGTERM"],
        "health": any(text.endswith('CMD ["harvest", "healthcheck"]') for text in said(last, "HEALTHCHECK")),
        "entry": said(last, "ENTRYPOINT") == ['["harvest"]'] and "check" not in json.loads(said(last, "CMD")[0]),
        "copied by name": not any(text.split()[0] in (".", "./") for stage in made for text in said(stage, "COPY")),
        "no secret": not re.search(r"PASSWORD|SECRET|TOKEN", text),
    }
    return [name for name, kept in rules.items() if not kept]


def ignored(path: Path) -> bool:
    """Whether .dockerignore keeps that path of the repository out of the context, as its own lines say."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        inner = pattern.removeprefix("**/")
        places = [path, *path.parents][:-1]
        hit = any(place.match(inner) if pattern != inner else str(place) == pattern or pattern == "*" for place in places)
        out = (not line.startswith("!")) if hit else out
    return out


def wheels() -> Path:
    """The files of requirements/production.txt, downloaded once, so that a further run needs no network."""
    pins = ROOT / "requirements/production.txt"
    place = ROOT / ".cache/wheels" / sha256(pins.read_bytes()).hexdigest()[:16]
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", f"{folder}/all", "--requirement", str(pins)]
        subprocess.run(command, check=True, timeout=600)
        with suppress(OSError):  # another run was quicker
            Path(folder, "all").rename(place)
    return place


class Build:
    """The first stage in a folder: /opt and /build are below it, and the context is what .dockerignore lets through."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self._folder = folder
        self._wheels = wheels
        (folder / "build").mkdir()
        (folder / "opt").mkdir()

    @property
    def environment(self) -> Path:
        return self._folder / "opt/harvester"

    def run(self) -> None:
        """AssertionError with the output of the step that failed."""
        _, first, *_ = stages(DOCKERFILE.read_text())
        for word, text in first:
            if word == "COPY":
                *sources, target = text.split()
                for source in sources:
                    self._copy(source, self._folder / "build" / target)
            elif word == "RUN":
                self.step(self.placed(text))

    def step(self, line: str) -> str:
        """One shell line, unprivileged; what it said."""
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_FIND_LINKS": str(self._wheels),
        }
        command = [*(UNPRIVILEGED if os.geteuid() == 0 else ()), "sh", "-ec", line]
        done = subprocess.run(
            command, cwd=self._folder / "build", env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def placed(self, text: str) -> str:
        return text.replace("/opt/harvester", shlex.quote(str(self.environment)))

    def _copy(self, source: str, target: Path) -> None:
        listed = subprocess.run(["git", "ls-files", source], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        assert listed, f"COPY {source}: there is no such file"
        for name in listed:
            assert not ignored(Path(name)), f"COPY {source}: .dockerignore keeps {name} out"
            inner = Path(name).relative_to(source) if (ROOT / source).is_dir() else Path(Path(name).name)
            (target / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / inner)
