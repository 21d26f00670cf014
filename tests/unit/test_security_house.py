"""Security that is held by looking at the whole project: S32, S74, S75."""

import ast
import re
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import urllib3._version

ROOT = Path(__file__).parents[2]
_UNITS = ("a", "0", " ", ".", "-", "/", "%", "a.", "a-", "1:", "\\", '"', "{", "=a")
PATHOLOGICAL = [unit * 20_000 + end for unit in _UNITS for end in ("", "!", "\0")]
REWRITERS = {"niquests", "urllib3-future", "gevent", "eventlet"}
"""They replace what others import (S74)."""


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    """Every pattern that a module of the product compiles."""
    for package in ("harvester", "consumers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or ast.unparse(node.func) != "re.compile":
                    continue
                flags = re.IGNORECASE if "IGNORECASE" in ast.unparse(node) else 0
                match node.args[0]:
                    case ast.Constant(value=str() as given):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", re.compile(given, flags)
                    case ast.Constant(value=bytes() as given):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", re.compile(given, flags)


def took(act: Callable[..., object], text: str | bytes) -> float:
    """Seconds of this processor."""
    began = time.process_time()
    act(text)
    return time.process_time() - began


def test_s32_no_pattern_takes_long_over_text_that_is_made_to_be_hard() -> None:
    known = dict(patterns())
    assert len(known) > 20
    hard = [
        (name, text[:4], act, text if isinstance(pattern.pattern, str) else text.encode())
        for name, pattern in known.items()
        for text in PATHOLOGICAL
        for act in (pattern.fullmatch, pattern.search)
    ]
    # A busy neighbour slows one of three.
    slow = [(name, begins) for name, begins, act, given in hard if all(took(act, given) > 0.1 for _ in range(3))]
    assert slow == []


def test_s74_nothing_is_installed_that_rewrites_what_others_import() -> None:
    for pins in (ROOT / "requirements").glob("*.txt"):
        names = {
            found[0].lower() for line in pins.read_text().splitlines() if (found := re.match(r"[A-Za-z0-9._-]+(?===)", line))
        }
        assert names, pins
        assert not names & REWRITERS, pins
    assert urllib3._version.__version__ == version("urllib3")


def test_s75_the_linter_of_security_holds_for_the_whole_product() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert not [rule for rule in lint["ignore"] if re.fullmatch(r"S\d*", rule) and rule != "S101"]
    lenient = {pattern for pattern, rules in lint["per-file-ignores"].items() if "S" in rules}
    assert lenient == {"tests/**", "benchmarks/**"}


def test_the_page_of_security_knows_every_item_that_a_test_bears_the_number_of() -> None:
    page = (ROOT / "docs/security.md").read_text()
    held, _, open_ = page.partition("\n## ")
    rows = {found[1]: found[2] for found in re.finditer(r"^\| (S\d\d) \| .*? \| (.*) \|$", held, re.MULTILINE)}
    tested: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE):
            for number in re.findall(r"(?<=_)s\d\d(?=_)", name):
                tested.setdefault(number.upper(), set()).add(name)
    assert len(rows) > 25
    assert set(rows) == set(tested)
    assert {item for item, text in rows.items() if not any(name in text for name in tested[item])} == set()
    assert set(re.findall(r"^\| (S\d\d) ", open_, re.MULTILINE)) & set(rows) == set()
