"""The runbook: it says what the program says, names what there is, and no incident is without its way out."""

import ast
import re
from functools import cache

import pytest

from tests.unit.test_documents import anchors, calls
from tests.unit.test_house import modules, text_of, tracked

RUNBOOK = "docs/runbook.md"
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", text_of(RUNBOOK), re.MULTILINE))
GAP = "…"


def blocks(kind: str, text: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@cache
def said() -> tuple[str, ...]:
    """Every text of the program; what it puts in is a gap."""
    found: list[str] = []
    for name in [*modules("harvester/"), *modules("consumers/")]:
        tree = ast.parse(text_of(name))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [value.value if isinstance(value, ast.Constant) else GAP for value in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def is_said(line: str) -> bool:
    """Whether the program can say this: all that stands between the gaps, in one text or spread over several."""
    pieces = [piece.strip(" :;,.") for piece in line.split(GAP)]
    return all(any(piece in text for text in said()) for piece in pieces if piece)


@pytest.mark.parametrize("title", SECTIONS)
def test_every_incident_has_its_words_cause_commands_and_end(title: str) -> None:
    body = SECTIONS[title]
    for part in ("**Cause", "**Do.**", "**Over when**"):
        assert part in body, part
    assert blocks("text", body), "the words one sees"
    assert blocks("sh", body), "the commands to run"


@pytest.mark.parametrize("title", SECTIONS)
def test_the_words_that_the_runbook_quotes_are_said_by_the_program(title: str) -> None:
    quoted = [line for block in blocks("text", SECTIONS[title]) for line in block.splitlines()]
    assert [line for line in quoted if not is_said(line)] == []


def test_words_that_nobody_says_would_be_noticed() -> None:
    assert not is_said("the queue is quite unwell")
    assert not is_said("opencast: cannot reach … or so I heard")


def test_every_metric_and_setting_that_the_runbook_names_exists() -> None:
    metrics, settings = text_of("docs/metrics.md"), text_of("docs/configuration.md")
    named = set(re.findall(r"`(harvester_\w+)", text_of(RUNBOOK)))
    assert named
    assert {name for name in named if f"`{name}`" not in metrics} == set()
    variables = set(re.findall(r"\b(?:HARVESTER|LOGGLY)_[A-Z_]+", text_of(RUNBOOK)))
    assert variables
    assert {name for name in variables if f"`{name}`" not in settings} == set()


def test_every_section_is_found_from_the_table_on_top() -> None:
    table = text_of(RUNBOOK).partition("\n## ")[0]
    linked = set(re.findall(r"\]\(#([\w-]+)\)", table))
    assert linked == anchors(RUNBOOK) - {"runbook"}


def test_every_place_of_the_runbook_that_something_points_to_exists() -> None:
    pointed = {
        (name, anchor)
        for name in tracked()
        if name.endswith((".py", ".md", ".json", ".yaml", ".yml", ".toml"))
        for anchor in re.findall(r"runbook\.md#([\w-]+)", text_of(name))
    }
    assert {(name, anchor) for name, anchor in pointed if anchor not in anchors(RUNBOOK)} == set()


def test_the_runbook_shows_what_to_run() -> None:
    assert len(calls(RUNBOOK, "harvest")) > 50
