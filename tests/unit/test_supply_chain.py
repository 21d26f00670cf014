"""What is installed: only what the pinned lists say, to the byte (S71), and a bill of materials says it all (S72)."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.unit.test_house import requirement_lines

ROOT = Path(__file__).parents[2]
LISTS = ["production", "run", "dev", "peers"]


def digest_of(body: bytes) -> str:
    """As RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def wheel(folder: Path) -> Path:
    """A package with nothing in it but a name, made here."""
    files = {
        "harvest_nothing.py": b"",
        "harvest_nothing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: harvest-nothing\nVersion: 1.0\n",
        "harvest_nothing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode() for name, body in files.items()
    }
    lines = [f"{name},sha256={digests[name]},{len(body)}" for name, body in files.items()]
    files["harvest_nothing-1.0.dist-info/RECORD"] = "\n".join([*lines, "harvest_nothing-1.0.dist-info/RECORD,,", ""]).encode()
    path = folder / "harvest_nothing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def install(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """As the Makefile does, from a folder alone."""
    (folder / "list.txt").write_text(f"{line}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--isolated", "install", "--no-index"]
    more = [
        "--find-links",
        str(folder),
        "--target",
        str(folder / "installed"),
        "--require-hashes",
        "-r",
        str(folder / "list.txt"),
    ]
    return subprocess.run([*pip, *more], capture_output=True, text=True, check=False)


def test_s71_a_package_whose_bytes_are_not_those_of_its_hash_is_refused(tmp_path: Path) -> None:
    made = wheel(tmp_path)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    good = f"harvest-nothing==1.0 --hash=sha256:{digest}"
    changed = install(tmp_path, good.replace(digest, f"{'0' if digest[0] != '0' else '1'}{digest[1:]}"))
    assert changed.returncode != 0
    assert "DO NOT MATCH THE HASHES" in changed.stderr
    assert not (tmp_path / "installed").exists()
    unhashed = install(tmp_path, "harvest-nothing==1.0")
    assert unhashed.returncode != 0
    assert "require" in unhashed.stderr.lower()
    done = install(tmp_path, good)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed/harvest_nothing.py").exists()
    with made.open("ab") as file:
        file.write(b"\0")
    (tmp_path / "installed/harvest_nothing.py").unlink()
    assert install(tmp_path, good).returncode != 0, "the list is as it was, the file is not"


def test_s71_everything_that_installs_demands_hashes_or_asks_nobody() -> None:
    found = []
    for name in ("Makefile", "docker/Dockerfile", ".ci/setup", ".ci/run"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        found += [
            line.strip() for line in text.splitlines() if re.search(r"^(\s|RUN).*(PIP\)|pip|uv) .*install|PIP\) install", line)
        ]
    assert len(found) >= 5
    assert [line for line in found if "--require-hashes" not in line and "--no-index" not in line] == []


def bill(name: str) -> dict[str, Any]:
    path = ROOT / f"requirements/{name}.txt"
    done = subprocess.run(
        [sys.executable, ROOT / "requirements/sbom.py", path], capture_output=True, text=True, check=True, cwd="/"
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", LISTS)
def test_s72_the_bill_of_materials_lists_every_pin_with_its_hashes(name: str) -> None:
    listed = {
        (one["name"], one["version"]): sorted(digest["content"] for digest in one["hashes"]) for one in bill(name)["components"]
    }
    pinned = {}
    for line in requirement_lines(f"requirements/{name}.txt"):
        pin = re.match(r"([a-z0-9._-]+)==([^\s;]+)", line)
        assert pin is not None
        key = (re.sub(r"[-_.]+", "-", pin[1]), pin[2])
        pinned[key] = sorted(re.findall(r"sha256:([0-9a-f]{64})", line))
    assert listed == pinned
    assert all(listed.values())


def test_s72_it_is_cyclonedx_and_the_same_for_the_same_list() -> None:
    found = bill("production")
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found["serialNumber"])
    us = found["metadata"]["component"]
    assert (us["type"], us["name"]) == ("application", "event-harvester")
    refs = [one["bom-ref"] for one in found["components"]]
    assert len(set(refs)) == len(refs)
    assert found["dependencies"] == [{"ref": us["bom-ref"], "dependsOn": refs}]
    assert all(
        one["type"] == "library" and one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in found["components"]
    )
    assert found == bill("production")
    assert found["serialNumber"] != bill("run")["serialNumber"]


def needed() -> dict[str, str]:
    """Every package that the product needs with all its extras, as it is installed here, by the packages' own word."""
    found: dict[str, str] = {}
    waiting = [("event-harvester", frozenset(distribution("event-harvester").metadata.get_all("Provides-Extra") or ()))]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # not for this Python or this system
        found[re.sub(r"[-_.]+", "-", name).lower()] = package.version
        for text in package.requires or ():
            requirement = Requirement(text)
            ways = [{"extra": extra} for extra in extras] or [{"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(way) for way in ways):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    del found["event-harvester"]
    return found


def test_s72_every_package_that_is_installed_for_the_product_is_in_the_bill_of_materials() -> None:
    installed, listed = needed(), {one["name"]: one["version"] for one in bill("production")["components"]}
    assert len(installed) > 25
    assert {name: version for name, version in installed.items() if listed.get(name) != version} == {}


def test_s72_a_line_that_is_no_pin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("aiohttp>=3\n")
    done = subprocess.run(
        [sys.executable, ROOT / "requirements/sbom.py", tmp_path / "list.txt"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no pin with hashes: aiohttp>=3" in done.stderr
