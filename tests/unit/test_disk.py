"""Locks between processes, files that survive, and the space that is kept back."""

import errno
import os
import threading
from pathlib import Path

import pytest

from harvester.disk import Ballast, named, write_durably
from harvester.errors import ConfigError, HarvesterError, PermanentError, TransientError
from harvester.lock import Lock, holder, me
from harvester.url import database_path, directory_path, parse


def test_a_lock_has_one_holder_who_is_named_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) == ""
    one, two = Lock(path, "one"), Lock(path, "two")
    assert one.acquire()
    assert holder(path) == "one"
    assert not two.acquire(0)
    two.release()
    assert holder(path) == "one"
    one.release()
    one.release()
    assert holder(path) == ""
    assert two.acquire(0)
    assert holder(path) == "two"
    two.release()
    assert f"pid {os.getpid()}" in me()


def test_looking_at_the_holder_makes_nobody_fail(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            holder(path)

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        for _ in range(100):
            lock = Lock(path, "me")
            assert lock.acquire(5)
            lock.release()
    finally:
        stop.set()
        for thread in looking:
            thread.join()


def test_a_file_is_whole_under_its_name_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "book"
    beside = write_durably(path, b"new")
    assert not path.exists()
    beside.replace(path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, ConfigError),
        (errno.EROFS, ConfigError),
        (errno.EIO, PermanentError),
        (errno.ENOSPC, TransientError),
        (errno.ESTALE, TransientError),
        (errno.EMFILE, TransientError),
    ],
)
def test_what_the_operating_system_says_names_the_next_action(number: int, kind: type[HarvesterError]) -> None:
    found = named(OSError(number, os.strerror(number)), Path("var/book"))
    assert type(found) is kind
    assert str(found).startswith(f"var/book: {os.strerror(number)}")


@pytest.mark.parametrize("quick", [True, False])
def test_a_ballast_holds_real_space_until_it_is_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    if not quick:
        monkeypatch.delattr(os, "posix_fallocate")
    path = tmp_path / "ballast"
    ballast = Ballast(path, (1 << 20) + 5)
    assert not ballast.whole()
    assert ballast.make()
    assert ballast.whole()
    assert path.stat().st_size == (1 << 20) + 5
    assert path.stat().st_blocks * 512 >= 1 << 20
    path.write_bytes(b"cut")
    assert not ballast.whole()
    assert ballast.make()
    assert path.stat().st_size == (1 << 20) + 5
    assert ballast.free()
    assert not ballast.free()
    assert not path.exists()


def test_a_ballast_larger_than_the_disk_is_not_begun(tmp_path: Path) -> None:
    assert not Ballast(tmp_path / "ballast", 1 << 60).make()
    assert list(tmp_path.iterdir()) == []
    assert Ballast(tmp_path / "ballast", 0).make()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///var/queue.db", "var/queue.db"),
        ("sqlite:////var/queue.db?ballast=0", "/var/queue.db"),
        ("sqlite:///a%20b%23.db", "a b#.db"),
        ("sqlite:///C.db", "C.db"),
    ],
)
def test_three_slashes_are_relative_and_four_absolute_for_a_database(text: str, path: str) -> None:
    assert database_path(parse(text)) == Path(path)


@pytest.mark.parametrize(
    ("text", "path"),
    [("file://var/coverage", "var/coverage"), ("file:///srv/c", "/srv/c"), ("file://Var", "Var"), ("file:var/c", "var/c")],
)
def test_a_directory_stands_after_two_slashes_as_a_shell_takes_it(text: str, path: str) -> None:
    assert directory_path(parse(text)) == Path(path)
