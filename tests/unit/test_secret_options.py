"""S02: a secret on the command line is there for what a predecessor had, and nowhere else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import click
import pytest

from harvester.cli import cli
from harvester.options import Option, options_of
from harvester.redact import is_secret_name
from harvester.settings import families
from tests.unit.test_documents import leaves

INHERITED = {
    ("useractions", "--password"),  # E6
    ("load-episodes", "--password"),  # E6
    ("zoom", "--key"),  # E37
    ("zoom", "--secret"),  # E37
}
"""Those that a predecessor had. A new one does not belong here: its secret has a variable, and a file."""
PRETENDED = "sandbox"
"""Its passwords are those of vendors that are none: whoever asks it may know them."""
SECRETS: Mapping[str, Option] = {
    name: option for model in families() for option in options_of(model) if option.secret for name in option.names
}


def parameters() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command."""
    for path in sorted(leaves(cli, ())):
        command: Any = cli
        for word in path:
            command = command.get_command(click.Context(command), word)
        yield from ((" ".join(path), one) for one in command.params if isinstance(one, click.Option))


def variable(option: click.Option) -> str:
    """The variable that the option sets, as its help tells; "" when it sets none."""
    found = re.search(r"\[env: ([A-Z0-9_]+)", option.help or "")
    return found[1] if found else ""


def taking_secrets() -> list[tuple[str, click.Option]]:
    return [
        (path, one)
        for path, one in parameters()
        if path.split()[0] != PRETENDED and (variable(one) in SECRETS or any(is_secret_name(n.lstrip("-")) for n in one.opts))
    ]


def test_s02_no_option_takes_a_secret_but_those_of_predecessors() -> None:
    found = {(path, one.opts[-1]) for path, one in taking_secrets()}
    assert ("useractions", "--password") in found
    assert found - INHERITED == set()


@pytest.mark.parametrize(
    ("path", "option"), [pytest.param(*each, id=f"{each[0]} {each[1].opts[-1]}") for each in taking_secrets()]
)
def test_s02_each_of_them_warns_on_stderr_naming_the_variable(
    path: str, option: click.Option, capsys: pytest.CaptureFixture[str]
) -> None:
    assert option.callback is not None
    with click.Context(cli) as context:
        option.callback(context, option, "c4nary")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"warning: other users of this host can see {option.opts[-1]}; set {variable(option)} instead\n"
    assert variable(option) in SECRETS, "and it is kept as one"


def test_s02_the_search_sees_options() -> None:
    assert len(list(parameters())) > 80
    assert len({variable(one) for _, one in parameters()} - {""}) > 10
