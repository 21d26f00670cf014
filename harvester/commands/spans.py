"""Spans that a harvest may not read in one go, and the commands that go on."""

from datetime import datetime, timedelta

from harvester.coverage import Interval, plan
from harvester.errors import RefusedError
from harvester.harvest import Limits
from harvester.protocols import Stream

_SHOWN = 6
_BEGIN = "     harvest useractions"


def allow(span: Interval, stream: Stream, limits: Limits, *, ranged: bool = False, daemon: bool = False) -> None:
    """RefusedError naming the commands that go on, when `span` is too long and the policy is to abort. Nothing was read.

    `ranged`: the span was given, so a command has to name it; `daemon`: it has to rest before another may harvest.
    """
    try:
        plan(span, stream.timing.window, limits.max_span, limits.span_policy)
    except RefusedError as error:
        assert limits.max_span is not None
        given = f" --start {_text(span.start)} --end {_text(span.end)}" if ranged else ""
        rest = "let it rest, and once" if daemon else "pause scheduled harvests, then once"
        before, after = ((f"     harvest {word} opencast",) for word in ("pause", "resume")) if daemon else ((), ())
        also = " --although-paused" if daemon else ""
        raise RefusedError(
            "\n".join(
                [
                    f"{error}. Two ways on:",
                    f"  1. {rest}:",
                    *before,
                    f"{_BEGIN}{given} --disable-start-end-span-check{also}",
                    *after,
                    "  2. forget what was read, then fill the gap in several runs:",
                    *before,
                    "     harvest coverage reset useractions --yes",
                    *_runs(span, limits.max_span, also),
                    *after,
                    "Or let it be cut into windows by itself: --span-policy windows",
                ]
            )
        ) from error


def _runs(span: Interval, limit: timedelta, also: str) -> list[str]:
    runs = [f"{_BEGIN} --start {_text(start)} --end {_text(end)}{also}" for start, end in _pieces(span, limit)]
    if len(runs) <= _SHOWN:
        return runs
    return [*runs[: _SHOWN - 2], f"     … {len(runs) - _SHOWN + 1} more …", runs[-1]]


def _pieces(span: Interval, limit: timedelta) -> list[Interval]:
    """The span in whole seconds, in as few pieces as the limit lets be; its end is not passed over."""
    start = span.start.replace(microsecond=0)
    end = span.end.replace(microsecond=0) + timedelta(seconds=1 if span.end.microsecond else 0)
    return [Interval(start + n * limit, min(start + (n + 1) * limit, end)) for n in range(-((start - end) // limit))]


def _text(moment: datetime) -> str:
    """With its zone, since without one it would be read in HARVESTER_TIMEZONE."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
