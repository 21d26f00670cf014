"""Writes what an installation consists of, from its pinned list, as CycloneDX 1.6: `python requirements/sbom.py`."""  # noqa: INP001

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).parent.parent
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>.*?))?(?=\s+--hash|\s*$)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(pins: Path) -> dict[str, Any]:
    """The bill of what this list installs. The same list gives the same bill: it bears no time and no chance."""
    text = pins.read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    us = {
        "type": "application",
        "bom-ref": f"pkg:pypi/{project['name']}@{project['version']}",
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"]}}],
        "purl": f"pkg:pypi/{project['name']}@{project['version']}",
    }
    parts = sorted(_components(text), key=lambda one: one["bom-ref"])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, us['bom-ref'] + text)}",
        "version": 1,
        "metadata": {"component": us, "lifecycles": [{"phase": "build"}]},
        "components": parts,
        "dependencies": [{"ref": us["bom-ref"], "dependsOn": [one["bom-ref"] for one in parts]}],
    }


def _components(text: str) -> Iterator[dict[str, Any]]:
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin = _PIN.match(line)
        if pin is None:
            raise SystemExit(f"this line is no pin with hashes: {line[:80]}")
        name = re.sub(r"[-_.]+", "-", pin["name"]).lower()
        where = f"pkg:pypi/{name}@{pin['version']}"
        yield {
            "type": "library",
            "bom-ref": where,
            "name": name,
            "version": pin["version"],
            "purl": where,
            # one for each file that may be installed
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(_HASH.findall(line))],
            **({"properties": [{"name": "event-harvester:only-where", "value": pin["marker"]}]} if pin["marker"] else {}),
        }


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "requirements/production.txt"
    json.dump(bill(chosen), sys.stdout, indent=2)
    sys.stdout.write("\n")
