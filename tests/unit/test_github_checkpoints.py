"""Checkpoints: their ids, and that nobody's change of one is lost."""

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from harvester.commands.github_checkpoints import Checkpoint, Kept, id_of, ids, named, short, unfinished
from harvester.errors import RefusedError, TransientError
from harvester.objects import open_objects
from harvester.protocols import Objects

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def checkpoint(state: str = "running") -> Checkpoint:
    return Checkpoint(
        collection_id=id_of(NOON),
        kind="collect",
        organisation="acme",
        since=NOON,
        until=NOON,
        whole=True,
        state=state,  # type: ignore[arg-type] # one of them
    )


@pytest.mark.parametrize("form", ["2025-01-01T12:00:00+00:00", "20250101T120000Z", "2025-01-01T14:00:00+02:00"])
def test_b29_q27_every_form_of_an_id_names_one_collection(form: str) -> None:
    assert short(form) == short(id_of(NOON)) == "20250101T120000Z"


@pytest.mark.parametrize("form", ["", "2025", "20250101", "2025-01-01T12:00:00", "20251301T120000Z", "../x"])
def test_b29_what_is_no_id_is_wrong_usage(form: str) -> None:
    with pytest.raises(click.BadParameter, match="is no id"):
        short(form)


async def test_two_that_begin_in_one_second_have_ids_of_their_own(tmp_path: Path) -> None:
    async with open_objects(f"file://{tmp_path}") as objects:
        first, second = Kept(objects, checkpoint()), Kept(objects, checkpoint())
        await first.begin()
        await second.begin()
        assert await ids(objects, "acme") == ["20250101T120000Z", "20250101T120001Z"]


async def test_what_another_process_wrote_is_not_written_over(tmp_path: Path) -> None:
    async with open_objects(f"file://{tmp_path}") as objects:
        await Kept(objects, checkpoint()).begin()
        ours, other = [await named(objects, "acme", id_of(NOON)) for _ in range(2)]
        other.checkpoint.state = "complete"
        await other.write()
        with pytest.raises(RefusedError, match="another process"):
            await ours.write()
        assert (await named(objects, "acme", id_of(NOON))).checkpoint.state == "complete"


async def test_a_write_whose_answer_was_lost_is_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_objects(f"file://{tmp_path}") as objects:
        kept = Kept(objects, checkpoint())
        await kept.begin()
        lose_answers(objects, monkeypatch, 1)
        kept.checkpoint.repositories = ["widgets"]
        await kept.write()
        kept.checkpoint.state = "complete"
        await kept.write()
        assert (await named(objects, "acme", id_of(NOON))).checkpoint.repositories == ["widgets"]


def lose_answers(objects: Objects, monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    """The next writes happen, and nobody hears of it."""
    put, left = objects.put, [amount]

    async def losing(name: str, body: bytes, *, replaces: str | None = None) -> str:
        tag = await put(name, body, replaces=replaces)
        if left[0]:
            left[0] -= 1
            raise TransientError("the answer was lost")
        return tag

    monkeypatch.setattr(objects, "put", losing)
    monkeypatch.setattr("harvester.retry.OUTAGE_FIRST", 0.0)


async def test_b47_b76_what_cannot_be_read_is_left_and_what_was_cut_off_is_found(tmp_path: Path) -> None:
    async with open_objects(f"file://{tmp_path}") as objects:
        await Kept(objects, checkpoint("complete")).begin()
        await Kept(objects, checkpoint()).begin()
        await objects.put("acme/_checkpoints/20240101T120000Z.json", b'{"completed_repos": []}')
        await objects.put("acme/_checkpoints/20240101T120001Z.json", b"{")
        await objects.put("acme/_checkpoints/20240101T120002Z.json", b'{"format": 99}')
        assert [kept.checkpoint.collection_id async for kept in unfinished(objects, "acme")] == ["2025-01-01T12:00:01+00:00"]
