"""The house: what imports what, what may not stand in a file, and that no document promises what is not there."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "manager"}

# What the modules of a folder (or one module) may import of ours: whole names or folders. See docs/decisions/0004.
PURE = ["harvester.errors", "harvester.event", "harvester.coverage", "harvester.protocols"]
ONLY = {
    "harvester/sources/": [
        *PURE,
        "harvester.budget",
        "harvester.http",
        "harvester.limits",
        "harvester.opencast_answers",
        "harvester.privacy",
        "harvester.raw",
        "harvester.retry",
    ],
    "harvester/sandbox/": ["harvester.sandbox", "harvester.errors"],
    "harvester/errors.py": [],
    "harvester/event.py": ["harvester.errors"],
    "harvester/coverage.py": ["harvester.errors"],
    "harvester/raw.py": ["harvester.errors"],
    "harvester/protocols.py": ["harvester.coverage", "harvester.event"],
    "consumers/protocols.py": ["harvester.errors", "harvester.event"],
    "consumers/records/": ["consumers.records", "harvester.errors", "harvester.event"],
}
LOOPS = [
    "harvester.harvest",
    "harvester.openbook",
    "harvester.service",
    "consumers.consume",
    "consumers.batch",
    "consumers.direct",
]
COMMANDS = ["harvester.cli", "harvester.commands"]
UPSTREAM = ["harvester.sources", "harvester.sandbox", "harvester.http"]
STORES = ["harvester.queues", "harvester.coverages", "harvester.letters"]
SINKS = ["consumers.sinks", "consumers.enrichers"]
NEVER = {
    "harvester/harvest.py": [*COMMANDS, *UPSTREAM, *STORES],
    "harvester/outbox.py": [*COMMANDS, *UPSTREAM, *STORES],
    "harvester/openbook.py": [*COMMANDS, *UPSTREAM, *STORES],
    "harvester/queues/": [*LOOPS, *COMMANDS, *UPSTREAM, "harvester.coverages", "harvester.letters"],
    "harvester/coverages/": [*LOOPS, *COMMANDS, *UPSTREAM, "harvester.queues", "harvester.letters"],
    "harvester/budgets/": [*LOOPS, *COMMANDS, *UPSTREAM, *STORES],
    "harvester/budget.py": ["harvester", "consumers"],
    "harvester/letters/": [*LOOPS, *COMMANDS, *UPSTREAM, "harvester.queues", "harvester.coverages"],
    "consumers/consume.py": [*COMMANDS, *UPSTREAM, *STORES, *SINKS],
    "consumers/caches/": [*LOOPS, *COMMANDS, *UPSTREAM, *STORES, *SINKS],
    "consumers/enrichers/": [*LOOPS, *COMMANDS, "harvester.sources", "harvester.sandbox", *STORES, "consumers.sinks"],
    "consumers/sinks/": [*LOOPS, *COMMANDS, *UPSTREAM, *STORES, "consumers.enrichers", "consumers.caches"],
}
# A heavy library and the one place that imports it.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "maxminddb": ("consumers/enrichers/places.py",),
    "ua_parser": ("consumers/records/agents.py",),
    "graphql": ("harvester/sandbox/github",),
    "zstandard": ("consumers/segments.py",),
    "google": ("harvester/google.py",),
    "duckdb": ("consumers/sinks/duckdb", "harvester/commands/"),
    "elasticsearch": ("consumers/sinks/elasticsearch",),
    "elastic_transport": ("consumers/sinks/elasticsearch",),
    "sqlite3": (
        "harvester/sqlite.py",
        "harvester/queue",
        "harvester/letters/sqlite",
        "harvester/commands/",
    ),
    "click": ("harvester/cli.py", "harvester/commands/"),
    "rich": ("harvester/cli.py", "harvester/commands/", "harvester/logs.py"),
}


@cache
def tracked() -> tuple[str, ...]:
    """Every file of the tree, those that are not committed yet too."""
    told = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return tuple(sorted({name for name in told.stdout.splitlines() if (ROOT / name).is_file()}))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(errors="replace")


def modules(under: str) -> list[str]:
    return [name for name in tracked() if name.endswith(".py") and name.startswith(under)]


@cache
def imports(name: str) -> frozenset[str]:
    """Everything a module imports, in functions too: modules, and what it takes from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text_of(name))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def among(module: str, names: list[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_imports_run_one_way_from_consumers_to_harvester() -> None:
    reaching_both = ("harvester/commands/", "harvester/cli.py")
    wrong = {
        name: sorted(taken)
        for name in modules("harvester/")
        if not name.startswith(reaching_both) and (taken := {module for module in imports(name) if among(module, ["consumers"])})
    }
    assert wrong == {}


@pytest.mark.parametrize("under", ONLY)
def test_a_part_imports_only_what_it_may(under: str) -> None:
    assert modules(under)
    allowed = ["harvester.__version__", *ONLY[under]]
    for name in modules(under):
        taken = {
            module
            for module in imports(name)
            if among(module, ["harvester", "consumers"]) and module not in ("harvester", "consumers")
        }
        own = name.removesuffix(".py").replace("/", ".").partition("_")[0]  # further files of a part bear its name
        known = {module for module in taken if among(module, allowed) or module.startswith(own)}
        parents = {module.rpartition(".")[0] for module in known}
        assert taken - known - parents == set(), f"{name} imports what it may not"


@pytest.mark.parametrize("under", NEVER)
def test_a_driver_imports_no_loop_no_command_and_no_other_family(under: str) -> None:
    for name in modules(under):
        assert {module for module in imports(name) if among(module, NEVER[under])} == set(), f"{name} imports what it may not"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_by_its_own_part_alone(library: str) -> None:
    users = [name for name in [*modules("harvester/"), *modules("consumers/")] if any(among(m, [library]) for m in imports(name))]
    assert [name for name in users if not name.startswith(LIBRARIES[library])] == []


def test_no_module_is_a_drawer() -> None:
    names = [part for name in tracked() if name.endswith(".py") for part in Path(name).with_suffix("").parts]
    assert DRAWERS & set(names) == set()


def test_nothing_is_left_open_in_the_code() -> None:
    marks = re.compile("TO" + "DO|FIX" + "ME|XX" + "X|NotImplemented" + "Error")
    assert [name for name in [*modules("harvester/"), *modules("consumers/")] if marks.search(text_of(name))] == []


def test_no_file_names_a_package_registry_or_a_place_on_one_machine() -> None:
    # Written so that this file does not hold what it looks for.
    banned = r"pyp[i]\.org|pythonhos[t]ed|registry\.npm[j]s|crate[s]\.io|repo1?\.mave[n]|proxy\.gola[n]g|deb\.debi[a]n"
    places = r"/roo[t]/|/hom[e]/[a-z]|/wor[k]/|/farm[/]|/Use[r]s/"
    wrong = [f"{name}: {found[0]}" for name in tracked() if (found := re.search(f"{banned}|{places}", text_of(name)))]
    assert wrong == []


def requirement_lines(name: str) -> Iterator[str]:
    yield from (line for line in text_of(name).replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#"))


@pytest.mark.parametrize(
    "name", ["requirements/run.txt", "requirements/production.txt", "requirements/dev.txt", "requirements/peers.txt"]
)
def test_s71_every_requirement_is_pinned_and_hashed_and_names_no_index(name: str) -> None:
    lines = list(requirement_lines(name))
    assert lines
    assert [
        line[:60] for line in lines if not re.match(r"[a-z0-9][a-z0-9._-]*==\S+( ; [^-]+)?\s+--hash=sha256:[0-9a-f]{64}", line)
    ] == []
    assert "://" not in text_of(name)
    assert "://" not in text_of(name.replace(".txt", ".in"))


def package_names(lines: Iterator[str] | list[str]) -> set[str]:
    return {found[0].lower() for line in lines if (found := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line))}


def test_the_pins_cover_what_the_package_declares() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    pinned = package_names(requirement_lines("requirements/run.txt"))
    assert package_names(project["dependencies"]) <= pinned
    extras = {name for lines in project["optional-dependencies"].values() for name in package_names(lines)}
    assert extras <= package_names(requirement_lines("requirements/production.txt"))
    embedded, servers = (package_names(requirement_lines(f"requirements/{name}.in")) for name in ("run", "production"))
    assert embedded | servers - {"-r"} == {*package_names(project["dependencies"]), *extras, "setuptools"}
    assert pinned <= package_names(requirement_lines("requirements/dev.txt"))


def test_the_scripts_of_ci_are_sound_bash() -> None:
    for script in (".ci/setup", ".ci/run"):
        assert text_of(script).startswith("#!/usr/bin/env bash")
        assert "set -euo pipefail" in text_of(script)
        assert (ROOT / script).stat().st_mode & 0o111
        subprocess.run(["bash", "-n", ROOT / script], check=True)
