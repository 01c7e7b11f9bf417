"""Look at environments and say whether each is protected, to people and to monitors."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rich import filesize

from . import checks, index, protection, prune, schedule
from .entry import Answer, printable
from .errors import BackupError, RefusedError, refused_by_system
from .index import Glance
from .protection import Circumstances, State, span
from .prune import Plan
from .settings import Settings
from .store import Store

MONITOR: Final = {"protected": 0, "at risk": 1, "not protected": 2, "unknown": 3}
"""Exit codes of a monitoring plugin (Monitoring Plugins Development Guidelines, 2.3)."""

_WORDS: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_WORST: Final = (2, 3, 1, 0)
UNITS: Final[tuple[tuple[int, str], ...]] = ((3600, "h"), (60, "min"), (1, "s"))
_DEPTHS: Final = {
    checks.FILES: "every file",
    checks.ARCHIVE: "every byte",
    checks.DRILL: "restored and compared",
}


@dataclass(frozen=True)
class Look:
    """How an environment stands, its backups, newest first, and what retention does with them."""

    state: State
    found: list[Glance]
    plans: list[Plan]


def look(settings: Settings, store: Store) -> Look:
    """Look at one environment here; raises StorageError."""
    found = index.glances(store, settings.environment)
    plans = prune.of(found, settings.keep)
    planned, ill = schedule.find(settings.environment)
    now = datetime.now(UTC)
    around = Circumstances(
        environment=settings.environment,
        host=socket.gethostname(),
        now=now,
        store=str(settings.store),
        max_age=settings.max_age,
        keep=settings.keep,
        free=store.free(),
        database=settings.connection.dbname,
        schedule=str(planned.file) if planned else None,
        next_run=planned.following(now) if planned else None,
        ill=tuple(ill),
    )
    return Look(protection.assess(found, plans, around), found, plans)


def unknown(environment: str, error: Exception, host: str | None = None) -> State:
    """The state of an environment that cannot be looked at."""
    if isinstance(error, OSError):
        error = refused_by_system(error)
    what = " ".join(str(error).split()) if isinstance(error, BackupError) else type(error).__name__
    return State(
        environment=environment,
        host=host or socket.gethostname(),
        time=datetime.now(UTC),
        error=what,
    )


def answer(states: Sequence[State]) -> Answer:
    """One screen: each environment, then how many are protected; a refusal's code if one is not."""
    bad = [state for state in states if state.verdict in {"not protected", "unknown"}]
    # A name from a database must not begin a line of its own.
    blocks = [
        "\n".join(printable(line).replace("\n", "\\n") for line in lines(state)) for state in states
    ]
    if len(states) > 1:
        named = ", ".join(f"{state.environment} on {state.host}" for state in bad)
        summary = f"{len(states) - len(bad)} of {len(states)} are protected."
        blocks.append(printable(summary + (f" Not: {named}." if bad else "")))
    document = {
        "protected": not bad,
        "environments": [
            {"verdict": state.verdict, **state.model_dump(mode="json")} for state in states
        ],
    }
    return Answer(document, "\n\n".join(blocks), code=RefusedError.exit_code if bad else 0)


def monitored(states: Sequence[State]) -> Answer:
    """The same for a monitor: one line with performance data, and its exit code."""
    codes = {MONITOR[state.verdict] for state in states} or {MONITOR["unknown"]}
    code = next(one for one in _WORST if one in codes)
    said = "; ".join(f"{state.environment}: {_in_short(state)}" for state in states)
    several = len({state.environment for state in states}) < len(states)
    numbers = " ".join(number for state in states for number in _numbers(state, several=several))
    line = f"PGBACKUP {_WORDS[code]} - {said}".replace("|", "/")
    text = " ".join(f"{line} | {numbers}".split())
    return Answer(answer(states).document, printable(text), code=code)


def lines(state: State) -> list[str]:
    """What there is to say of one environment."""
    title = f"{state.environment} on {state.host}: {state.verdict.upper()}"
    if state.error is not None:
        return [title, f"  ! {state.error}"]
    marks = [f"  ! {problem}" for problem in (*state.problems, *state.risks)]
    return [title, *marks, *(f"  {name:<19} {said}" for name, said in facts(state).items())]


def facts(state: State) -> dict[str, str]:
    """What there is to know beside the verdict, each with its name."""
    found = {
        "newest good backup": _newest(state),
        "verified": _verified(state),
        "last drill": _drill(state),
        "backups": _backups(state),
        "space": _space(state),
        "next run": _next_run(state),
        "suspect": _named(state.suspect, state.suspects) or "none",
    }
    return found | ({"damaged": _named(state.damaged, state.damages)} if state.damages else {})


def _named(names: Sequence[str], number: int) -> str:
    return ", ".join(names[:3]) + (", ..." if number > 3 else "")


def duration(seconds: float) -> str:
    """Seconds for people."""
    unit, name = next(one for one in UNITS if seconds >= 2 * one[0] or one[0] == 1)
    return f"{seconds / unit:,.3g} {name}"


def _ago(state: State, time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC, {span(state.time - time)} ago"


def _newest(state: State) -> str:
    target = f"target {span(timedelta(seconds=state.max_age))}"
    return f"{_ago(state, state.good.time)} ({target})" if state.good else f"none ({target})"


def _verified(state: State) -> str:
    if state.good is None:
        return "nothing"
    said = f"{_DEPTHS.get(state.good.depth, '?')} (depth {state.good.depth})"
    return f"{said}, {_ago(state, state.good.checked)}" if state.good.checked else said


def _drill(state: State) -> str:
    drill = state.drill
    if drill is None:
        return "never"
    said = f"{drill.outcome}, {_ago(state, drill.time)}"
    if drill.seconds is not None:
        said += f"; the restore took {duration(drill.seconds)}"
        if state.recovery_before is not None:
            said += f" ({duration(state.recovery_before)} before)"
    return said


def _backups(state: State) -> str:
    if not state.backups:
        return "none"
    said = f"{state.backups:,}"
    if state.space:
        said += f", {filesize.decimal(state.space.used)} in all"
    if state.good:
        said += f"; the newest has {filesize.decimal(state.good.bytes)}, {state.good.rows:,} rows"
    return said


def _space(state: State) -> str:
    if state.space is None:
        return "unknown"
    free = f"{filesize.decimal(state.space.free)} free"
    if state.space.growth is None:
        return f"{free}; too few backups for a trend"
    sign = "shrinks" if state.space.growth < 0 else "grows"
    trend = f"a backup {sign} by {filesize.decimal(int(abs(state.space.growth)))} a day"
    days = state.space.full_in_days
    full = "not full within a year" if days is None else f"full in {span(timedelta(days=days))}"
    return f"{free}, {full}; {trend}"


def _next_run(state: State) -> str:
    if state.schedule is None:
        return "no schedule here"
    if state.next_run is None:
        return f"unknown ({state.schedule})"
    ahead = span(state.next_run - state.time)
    return f"{state.next_run:%Y-%m-%d %H:%M} UTC, in {ahead} ({state.schedule})"


def _in_short(state: State) -> str:
    """What is wrong, or how old the newest good backup is."""
    if state.error is not None:
        return state.error
    worst = next(iter((*state.problems, *state.risks)), None)
    age = f"newest good backup {span(state.age)} old" if state.age is not None else ""
    return worst or age


def _numbers(state: State, *, several: bool) -> list[str]:
    """Performance data: label, value, unit, warning, critical, minimum (the same, 2.6)."""
    named = f"{state.environment}_{state.host}" if several else state.environment
    label = "".join(c if c.isalnum() or c in "-." else "_" for c in named)
    found = []
    if state.age is not None and state.good:
        found += [
            f"{label}_age={state.age.total_seconds():.0f}s;;{state.max_age:.0f};0",
            f"{label}_size={state.good.bytes}B;;;0",
            f"{label}_rows={state.good.rows};;;0",
        ]
    if state.space:
        found.append(f"{label}_free={state.space.free}B;;;0")
    if state.drill and state.drill.seconds is not None:
        found.append(f"{label}_recovery={state.drill.seconds:.1f}s;;;0")
    return found
