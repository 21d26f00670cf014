"""Documents: no command, link, test or proof is named that is not there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from harvester.cli import COMMANDS, cli
from tests.unit.test_house import ROOT, text_of, tracked

PAGES = tuple(name for name in tracked() if name.endswith(".md"))
# Pages whose commands must exist; the requirements name those of parts to come.
TELLING = tuple(name for name in PAGES if name != "docs/requirements.md")
TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)+")


def code_of(page: str) -> Iterator[str]:
    """Every line of code on a page: in blocks of its own, and inside sentences; comments at a line's end are left out."""
    text = text_of(page)
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        yield from (line.split("  #")[0].split(" # ")[0].strip() for line in block.splitlines())
    sentences = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", sentences)


def calls(page: str, program: str) -> list[list[str]]:
    return [line.split()[1:] for line in code_of(page) if line.split()[:1] == [program] and "…" not in line]


def check_call(words: list[str]) -> None:
    """Walk from group to group to the command, then look each option up."""
    context = click.Context(cli, info_name="harvest")
    at: click.Command = cli
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            option = check_option(at, context, word.split("=")[0])
            if isinstance(at, click.Group) and option is not None and "=" not in word and not option.is_flag:
                rest = rest[option.nargs :]  # a group's own option has its value before the next name
        elif isinstance(at, click.Group):
            found = at.get_command(context, word.replace("_", "-"))
            assert found is not None, f"harvest {' '.join(words)}: there is no {word}"
            at, context = found, click.Context(found, parent=context, info_name=word)


def check_option(command: click.Command, context: click.Context, word: str) -> click.Option | None:
    """The option of that name; None for "-"."""
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    known = {name.replace("_", "-"): p for p in options for name in (*p.opts, *p.secondary_opts)}
    assert word == "-" or word.replace("_", "-") in known, f"{context.command_path}: there is no {word}"
    return known.get(word.replace("_", "-"))


CALLS = [(page, call) for page in TELLING for call in calls(page, "harvest")]


@pytest.mark.parametrize(("page", "call"), CALLS, ids=[f"{page}: {' '.join(call)}" for page, call in CALLS])
def test_every_command_that_a_page_shows_exists(page: str, call: list[str]) -> None:
    check_call(call)


@pytest.mark.parametrize("call", [["harvset"], ["coverage", "shwo"], ["useractions", "--no-such"]])
def test_a_command_that_does_not_exist_would_be_noticed(call: list[str]) -> None:
    with pytest.raises(AssertionError, match="there is no"):
        check_call(call)


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    if command.invoke_without_command and path:
        yield path
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


def test_every_command_stands_in_the_readme_and_has_help() -> None:
    known = list(leaves(cli, ()))
    told = [[word.replace("_", "-") for word in call] for call in calls("README.md", "harvest")]
    shown = {tuple(call[: len(leaf)]) for call in told for leaf in known}
    assert [leaf for leaf in known if leaf not in shown] == []
    assert all(COMMANDS.values())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))


def test_every_make_target_that_a_page_names_exists() -> None:
    named = {(page, call[0]) for page in PAGES for call in calls(page, "make") if call and call[0].islower()}
    assert {(page, target) for page, target in named if target not in make_targets()} == set()
    assert {"demo", "test", "check", "bench", "crash", "docs", "requirements", "clean", "help"} <= make_targets()


def anchors(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        name = str((ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT)) if path else page
        if not (ROOT / name).exists() or (anchor and anchor not in anchors(name)):
            broken.append(target)
    assert broken == []


def test_every_decision_has_context_decision_and_price_and_is_listed() -> None:
    pages = [Path(name) for name in PAGES if re.match(r"docs/decisions/\d{4}-", name)]
    numbers = [int(page.name[:4]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        text = text_of(str(page))
        assert all(re.search(rf"^\*\*{part}[.:]", text, re.MULTILINE) for part in ("Context", "Decision", "Price")), page
        assert page.name in text_of("docs/decisions/README.md")


@cache
def defined_in(name: str) -> frozenset[str]:
    """What a test module defines: `test_x`, `TestY`, `TestY::test_x`."""
    found: set[str] = set()
    for node in ast.parse(text_of(name)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return frozenset(found)


def missing_tests(text: str) -> list[str]:
    named = [test.partition("::") for test in TEST.findall(text)]
    return [f"{path}::{test}" for path, _, test in named if not (ROOT / path).is_file() or test not in defined_in(path)]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    assert missing_tests(text_of(page)) == []


def items(page: str) -> list[str]:
    """The list items of a page, each on one line."""
    return [re.sub(r"\s+", " ", item) for item in re.findall(r"^- (.*(?:\n  .*)*)", text_of(page), re.MULTILINE)]


def test_every_must_of_the_component_spec_names_the_test_that_checks_it() -> None:
    musts = [item for item in items("docs/component-spec.md") if "MUST" in item]
    assert len(musts) > 30
    assert [item for item in musts if not TEST.search(item)] == []
    outside = re.sub(r"^- .*(?:\n  .*)*", "", text_of("docs/component-spec.md"), flags=re.MULTILINE)
    assert re.findall(r".*MUST (?!and SHOULD|names).*", outside) == []


REQUIREMENT = re.compile(r"\[([ x])\] \*\*([A-FQ])(\d+)\*\* (.*)")


def requirements() -> list[tuple[bool, str, int, str]]:
    found = [REQUIREMENT.match(item) for item in items("docs/requirements.md")]
    return [(match[1] == "x", match[2], int(match[3]), match[4]) for match in found if match]


def test_the_numbers_of_the_requirements_are_stable_and_whole() -> None:
    count = {"A": 61, "B": 79, "C": 61, "D": 44, "E": 71, "F": 23, "Q": 64}
    for section, least in count.items():
        numbers = [number for _, letter, number, _ in requirements() if letter == section]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= least


def test_a_box_is_ticked_only_with_its_proof() -> None:
    without = []
    for ticked, section, number, text in requirements():
        _, mark, proof = text.partition(" — proof: ")
        targets = re.findall(r"make ([a-z]+)", proof)
        proven = bool(TEST.search(proof) or targets) and set(targets) <= make_targets() and not missing_tests(proof)
        if ticked != bool(mark) or (ticked and not proven):
            without.append(f"{section}{number}")
    assert without == []


def test_the_changelog_has_what_is_released_and_what_is_not() -> None:
    text = text_of("CHANGELOG.md")
    assert "## [Unreleased]" in text
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "[Unreleased]"
