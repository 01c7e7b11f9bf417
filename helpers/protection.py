"""Whether an environment is protected: what its backups, its disk and its schedule say (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final, Literal

from . import checks, forecast, prune
from .checks import Check
from .index import Glance
from .listing import CLOCK_TOLERANCE
from .manifest import Model
from .prune import Plan
from .settings import Keep

Verdict = Literal["protected", "at risk", "not protected", "unknown"]
"""At risk: a good backup is young enough, but something is about to go wrong."""

_SOON: Final = timedelta(days=14)
"""A disk that is full before then puts the backups at risk."""

_EARLIER: Final = 10
"""Drills before the last one whose times are what it is held against."""

_NAMED: Final = 20
"""Suspect and damaged backups that are named; the others are counted."""


class Good(Model):
    """The newest good backup; `checked` is when it last passed at its `depth`."""

    name: str
    time: datetime
    bytes: int
    rows: int
    tables: int
    seconds: float
    depth: int
    checked: datetime | None


class Drilled(Model):
    """The last drill of any backup; `seconds` is how long its restore took, where that is known."""

    backup: str
    time: datetime
    outcome: Literal["passed", "failed", "cannot judge"]
    seconds: float | None
    problems: tuple[str, ...]


class Space(Model):
    """Bytes of the backups and free ones; `growth` of one backup is in bytes a day.

    `full_in_days` is None where it is more than a year or, with `growth` None, nobody knows.
    """

    used: int
    free: int
    growth: float | None = None
    full_in_days: float | None = None


class State(Model):
    """How an environment stands on one host, at one time; `error` is why nobody knows.

    `problems` are why it is not protected, `risks` why it may soon not be; `max_age` is in seconds,
    as is `recovery_before`, what a restore took in the middle of the drills before the last one.
    """

    environment: str
    host: str
    time: datetime
    error: str | None = None
    database: str | None = None
    store: str | None = None
    max_age: float = 0
    backups: int = 0
    good: Good | None = None
    drill: Drilled | None = None
    space: Space | None = None
    schedule: str | None = None
    next_run: datetime | None = None
    suspect: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    suspects: int = 0
    damages: int = 0
    recovery_before: float | None = None
    problems: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()

    @property
    def age(self) -> timedelta | None:
        """How old the newest good backup is."""
        return max(self.time - self.good.time, timedelta(0)) if self.good else None

    @property
    def verdict(self) -> Verdict:
        """In a word or two."""
        if self.error is not None:
            return "unknown"
        if self.problems:
            return "not protected"
        return "at risk" if self.risks else "protected"


@dataclass(frozen=True)
class Circumstances:
    """What is known beside the backups: where and when we look, what was asked for, what is free.

    `schedule` and `next_run` are None where nothing starts backups, `ill` what speaks against it.
    """

    environment: str
    host: str
    now: datetime
    store: str
    max_age: timedelta
    keep: Keep
    free: int
    database: str | None = None
    schedule: str | None = None
    next_run: datetime | None = None
    ill: tuple[str, ...] = ()


def assess(found: Sequence[Glance], plans: Sequence[Plan], around: Circumstances) -> State:
    """How an environment stands; `found` are its backups, newest first, `plans` of all of them.

    It is about one database: the one that is backed up, or else that of the newest backup.
    """
    database = around.database or (found[0].database if found else None)
    own = [backup for backup in found if backup.database == database]
    sure = [one for one in own if one.time <= around.now + CLOCK_TOLERANCE]
    good = next((_good(backup) for backup in sure if backup.trusted), None)
    suspect = [backup.text for backup in own if backup.suspect]
    damaged = [backup.text for backup in own if _is_damaged(backup)]
    plan = plan_of(own, plans)
    state = State(
        environment=around.environment,
        host=around.host,
        time=around.now,
        database=database,
        store=around.store,
        max_age=around.max_age.total_seconds(),
        backups=len(own),
        good=good,
        drill=_last_drill(own),
        recovery_before=_recovery_before(own),
        space=_space(own, plan, around),
        schedule=around.schedule,
        next_run=around.next_run,
        suspect=tuple(suspect[:_NAMED]),
        damaged=tuple(damaged[:_NAMED]),
        suspects=len(suspect),
        damages=len(damaged),
    )
    problems = tuple(_problems(state, own, around))
    return state.model_copy(
        update={"problems": problems, "risks": tuple(_risks(state, own, around))}
    )


def _good(backup: Glance) -> Good:
    passed = [c.time for c in backup.checks if c.outcome == "passed" and c.depth == backup.depth]
    return Good(
        name=backup.text,
        time=backup.time,
        bytes=backup.file_bytes or 0,
        rows=backup.rows or 0,
        tables=backup.tables or 0,
        seconds=backup.seconds or 0,
        depth=backup.depth,
        checked=max(passed, default=None),
    )


def _is_damaged(backup: Glance) -> bool:
    return bool(backup.damage) or any(check.outcome == "failed" for check in backup.checks)


def drills(found: Sequence[Glance]) -> list[tuple[Glance, Check]]:
    """Every backup that was drilled, with the last result; the newest drill first."""
    pairs = [(b, c) for b in found for c in b.checks if c.depth == checks.DRILL]
    return sorted(pairs, key=lambda pair: pair[1].time, reverse=True)


def _last_drill(found: Sequence[Glance]) -> Drilled | None:
    return next((drilled(*one) for one in drills(found)), None)


def _recovery_before(found: Sequence[Glance]) -> float | None:
    whole = [check for _, check in drills(found)[1:] if check.outcome == "passed"]
    earlier = [check.recovery.seconds for check in whole if check.recovery]
    return median(earlier[:_EARLIER]) if earlier else None


def plan_of(own: Sequence[Glance], plans: Sequence[Plan]) -> Plan | None:
    """What retention does with these backups of one database."""
    return next((plan for plan in plans if own and plan.series == own[0].name.series), None)


def drilled(backup: Glance, check: Check) -> Drilled:
    """A drill's result; of many problems the first."""
    return Drilled(
        backup=backup.text,
        time=check.time,
        outcome=check.outcome,
        seconds=check.recovery.seconds if check.recovery else None,
        problems=check.problems[:5],
    )


def _space(own: Sequence[Glance], plan: Plan | None, around: Circumstances) -> Space:
    used = sum(backup.file_bytes or 0 for backup in own)
    trend = forecast.trend({b.time: b.file_bytes or 0 for b in own if b.trusted})
    if trend is None or plan is None:
        return Space(used=used, free=around.free)
    candidates = [(prune.candidate(backup), backup.file_bytes or 0) for backup in own]
    # A plan that would delete something shows that nobody prunes.
    keep = None if plan.doomed else around.keep
    full = forecast.full_in(candidates, trend, around.free, keep)
    days = None if full is None else full / timedelta(days=1)
    return Space(used=used, free=around.free, growth=trend.growth, full_in_days=days)


def _problems(state: State, own: Sequence[Glance], around: Circumstances) -> Iterator[str]:
    """Why it is not protected, a sentence each."""
    if not own:
        yield "There is no backup yet."
    elif state.good is None:
        yield f"None of its backups is good ({len(own):,} in all)."
    elif around.now - state.good.time > around.max_age:
        yield (
            f"The newest good backup is {span(around.now - state.good.time)} old; "
            f"at most {span(around.max_age)} were asked for."
        )
    if own and own[0].suspect:
        yield f"The newest backup is suspect: {own[0].suspect[0]}."
    if own and own[0].time > around.now + CLOCK_TOLERANCE:
        yield f"{own[0].text} is from the future: the clock is wrong, or was."
    if state.drill and state.drill.outcome == "failed":
        yield f"The last drill failed: {next(iter(state.drill.problems), state.drill.backup)}"


def _risks(state: State, own: Sequence[Glance], around: Circumstances) -> Iterator[str]:
    """Why it may soon not be protected, a sentence each."""
    for why in around.ill:
        yield f"The schedule will not work: {why}"
    if state.suspects and not own[0].suspect:
        yield f"Suspect backups: {state.suspects:,}. Look at them; accept what was meant."
    if state.damages:
        yield f"Damaged backups: {state.damages:,}. Do not restore from them."
    space = state.space
    if space and state.good and state.good.bytes > space.free:
        yield "The disk has no room for another backup."
    elif space and space.full_in_days is not None and space.full_in_days < _SOON.days:
        yield f"The disk will be full in {span(timedelta(days=space.full_in_days))}."


def span(time: timedelta) -> str:
    """A time span as people say it, rounded down."""
    minutes = int(max(time, timedelta(0)).total_seconds() // 60)
    size, unit = (1, "minute") if minutes < 120 else (60, "hour")
    if minutes >= 48 * 60:
        size, unit = 1440, "day"
    return f"{minutes // size:,} {unit}{'' if minutes // size == 1 else 's'}"
