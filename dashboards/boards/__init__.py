"""The dashboards there are, one module each: what it shows, in the words of the records."""

from importlib import import_module

from dashboards.builder.board import Board

BOARDS = ("lectures", "meetings", "pull_requests", "harvester")
"""Their modules, which have the names of their files."""


def boards() -> list[Board]:
    """Each with its panels."""
    found: list[Board] = []
    for name in BOARDS:
        board: Board = import_module(f"dashboards.boards.{name}").BOARD
        if board.name != name:
            raise ValueError(f"the board of {name} calls itself {board.name}")
        found.append(board)
    return found
