"""`harvest trace`: where a thing is."""

from collections.abc import Iterator
from datetime import datetime

import click
import msgspec

from harvester.commands import parts
from harvester.commands.options import json_option
from harvester.commands.times import parse_time, shown
from harvester.commands.trace_facts import Answer, Facts, gather
from harvester.commands.trace_scan import State, Thing
from harvester.commands.trace_verdict import Verdict, fates, progress, read_states, shown_states, verdict
from harvester.commands.words import amount_of
from harvester.faults import closest, unknown
from harvester.protocols import Letter
from harvester.screens import plain, plain_json
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources import SOURCES

_FORMAT = 1


@click.command("trace")
@click.argument("name", metavar="ID")
@click.option("--time", "when", metavar="TIME", help="When it happened, for what was never seen.  [default: as its event says]")
@json_option
def command(name: str, when: str | None, as_json: bool) -> int:
    """Where is ID? An event id, a subject such as the number of an action, or source/subject.

    Shows whether its time is read, where it stands in the queue, its dead letters, and what each configured sink holds of it.
    Nothing is changed. Exit code 0: in its newest state in every sink; 5: on its way, or stuck; 1: not found.

    \b
    harvest trace 4711
    harvest trace opencast/4711
    harvest trace 0f3a…                    32 hex digits, as in event.id
    """
    if not name.strip() or name.encode(errors="ignore").decode() != name:
        raise click.BadParameter("name an event id, a subject, or source/subject, in UTF-8", param_hint="ID")
    loaded = parts.settings(*parts.sink_settings(parts.configured_sinks()))
    moment = parse_time(when, loaded.get(CoreSettings).timezone, "--time") if when else None

    async def act() -> int:
        facts = await gather(name.strip(), loaded)
        if not facts.things:
            _refuse_a_slip(facts.asked)
        told = verdict(facts, moment)
        if as_json:
            click.echo(plain_json(msgspec.json.encode(_report(facts, told, moment))))
        else:
            click.echo("\n".join(_screen(facts, told, moment)))
        return told.code

    return run_once(act())


def _refuse_a_slip(name: str) -> None:
    """Exit 2 where the word before a slash is nearly a source's name. Any other may be the begin of a subject."""
    source, slash, _ = name.partition("/")
    if slash and source not in SOURCES and closest(source, SOURCES):
        raise click.BadParameter(unknown("source", source, SOURCES), param_hint="ID")


def _screen(facts: Facts, told: Verdict, moment: datetime | None) -> Iterator[str]:
    for thing in facts.things.values():
        yield click.style(plain(thing.key), bold=True)
        yield from _section("coverage", [f"{n:<24} {text}" for n, text in read_states(thing, facts, moment)], "nothing is read")
        yield from _section("queue", _queue_lines(thing, facts), "not in it, or no longer")
        yield from _section("letters", [line for x in thing.letters.values() for line in _letter_lines(x)], "none")
        yield from _section(
            "sinks", [line for n, a in facts.answers[thing.key].items() for line in _sink_lines(n, a)], "none is set"
        )
        yield ""
    if facts.things:
        yield from map(plain, facts.unread)
    searched = f"{amount_of(facts.messages, 'message')} and {amount_of(facts.letters, 'letter')} looked at"
    yield click.style(plain(told.text), fg="green" if told.code == 0 else "yellow") + f"\n({searched})"


def _section(title: str, lines: list[str], nothing: str) -> Iterator[str]:
    for number, line in enumerate(lines or [nothing]):
        yield f"  {'' if number else title:<9} {plain(line)}"


def _queue_lines(thing: Thing, facts: Facts) -> list[str]:
    lines = [f"{amount_of(thing.left_out, 'older state')} more"] if thing.left_out else []
    for state in shown_states(thing):
        what = f"version {state.version}  {state.event_id}  read at {shown(state.read_at)}" if state.event_id else "undecodable"
        ways = ", ".join(f"{group} {way}" for group, way in _progress(thing, state, facts).items()) or "no group reads it"
        lines += [f"{state.position:>9,}  {what}", f"{'':>9}  {ways}"]
    return lines


def _progress(thing: Thing, state: State, facts: Facts) -> dict[str, str]:
    """Group → waiting, delivered, letter or passed over."""
    ways = {name: str(progress(state, group)) for name, group in facts.groups.items()}
    for letter in thing.letters.values():
        if letter.event_id == state.event_id and letter.stage != "enrich" and ways.get(letter.group) == "delivered":
            ways[letter.group] = "letter"
    return ways


def _letter_lines(letter: Letter) -> list[str]:
    due = f"due {shown(letter.due)}" if letter.due else "waits for you"
    why = f"{letter.group}  {letter.stage}/{letter.reason}  {letter.attempts}×"
    return [f"{letter.id}  {why}  {due}", f"    {letter.error[:160]}"]


def _sink_lines(name: str, answer: Answer) -> list[str]:
    if answer.error:
        return [f"{name:<14} cannot be asked: {answer.error}"]
    if not answer.asked:
        return [f"{name:<14} a stream: nothing can be looked up"]
    found = []
    for held in answer.held:
        found += [f"{name:<14} version {held.version}  {held.event_id}  written {shown(held.ingested)}"]
        found += [f"{'':<14} {held.place}, {f'enrichment {held.enrichment}' if held.enrichment else 'nothing to enrich'}"]
    return found or [f"{name:<14} nothing"]


def _report(facts: Facts, told: Verdict, moment: datetime | None) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "asked": facts.asked,
        "code": told.code,
        "verdict": told.text,
        "messages": facts.messages,
        "letters": facts.letters,
        "unread": facts.unread,
        "things": [_described(thing, facts, moment) for thing in facts.things.values()],
    }


def _described(thing: Thing, facts: Facts, moment: datetime | None) -> dict[str, object]:
    return {
        "key": thing.key,
        "time": thing.time,
        "coverage": dict(read_states(thing, facts, moment)),
        "queue": [{**s._asdict(), "groups": _progress(thing, s, facts)} for s in shown_states(thing)],
        "letters": [_without_body(letter) for letter in thing.letters.values()],
        "sinks": {
            name: {"group": a.group, "held": [h._asdict() for h in a.held], "asked": a.asked, "error": a.error}
            for name, a in facts.answers[thing.key].items()
        },
        "fates": [fate._asdict() for fate in fates(thing, facts)],
    }


def _without_body(letter: Letter) -> dict[str, object]:
    facts = msgspec.structs.asdict(letter)
    del facts["body"]
    return facts
