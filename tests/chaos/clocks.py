"""Clocks that jump: by seconds, over the change to and from summer time, by years, in mid-run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from helpers.names import parse_name

from . import invariants
from .world import World, stock

_LIBRARIES = ("/usr/lib", "/usr/local/lib")

_JUMPS = (
    timedelta(seconds=-2),
    timedelta(hours=-1),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(days=-40),
    timedelta(days=40),
    timedelta(days=-2 * 365),
    timedelta(days=3 * 365),
)

_CHANGES = (
    datetime(2026, 3, 29, 0, 59, 58, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 59, 58, tzinfo=UTC),
)
"""Two seconds before Berlin's clocks are put forward and back."""

_TIMER = "timeout expired"
"""libpq counts the seconds of `connect_timeout` by the wall clock (fe-misc.c, pqSocketPoll): a
connection that is being made while the clock jumps ahead has used them up."""


def library() -> str | None:
    """libfaketime, which gives a program another time; None if it is not installed."""
    found = (path for root in _LIBRARIES for path in Path(root).glob("**/libfaketime.so.1"))
    return next((str(path) for path in found), None)


def jump(world: World) -> tuple[str, Iterator[str]]:
    """A few backups, each by another clock; then the clock is right again."""
    return "a clock that jumps", _jumped(world)


def _jumped(world: World) -> Iterator[str]:
    store, world.store = world.store, world.place / "jumping"
    try:
        world.store.mkdir()
        yield from _history(world)
    finally:
        shutil.rmtree(world.store)
        world.store = store


def _history(world: World) -> Iterator[str]:
    stock(world, 1)
    begin = world.chance.choice((datetime.now(UTC), *_CHANGES))
    for _ in range(3):
        before = world.before()
        ended = _by_another_clock(world, begin, world.chance.choice(_JUMPS))
        yield from ended.faults({0, 3, 9} if _TIMER in ended.said else {0})
        yield from invariants.harmed(world.store, before, may_delete=True)
        yield from invariants.untrue(world.store)
        yield from _told_truly(world)
    before = world.before()
    ended = world.run("backup", "--prune", "--json")
    yield from ended.faults({0})
    document = ended.said[ended.said.index("{\n") :] if ended.code == 0 else ""
    newest = json.loads(document)["backup"]["name"] if document else ""
    yield from invariants.untrue(world.store)
    yield from invariants.stray(world.store, after_a_crash=False)
    yield from _latest(world, newest)
    pruned = world.run("prune", "--apply")
    yield from pruned.faults({0})
    if not (world.store / newest).exists():
        yield f"prune deleted {newest}, the last one taken, of {sorted(before)}"


def _by_another_clock(world: World, begin: datetime, jump: timedelta):
    """One backup whose clock shows `begin`, and jumps while it runs."""
    clock = world.place / "clock"
    _set(clock, begin - datetime.now(UTC))
    given = {
        "LD_PRELOAD": library() or "",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "Europe/Berlin",
    }
    with world.begun("backup", "--prune", **given) as running:
        time.sleep(world.chance.uniform(0.4, 1.4))
        _set(clock, begin - datetime.now(UTC) + jump)
        return running.end()


def _set(clock: Path, difference: timedelta) -> None:
    seconds = int(difference.total_seconds())
    temporary = clock.with_suffix(".new")
    temporary.write_text(f"{seconds:+d}", encoding="utf-8")
    temporary.replace(clock)


def _told_truly(world: World) -> Iterator[str]:
    """No run took less than nothing."""
    for place in world.store.iterdir():
        if parse_name(place.name):
            told = json.loads((place / "manifest.json").read_bytes())["backup"]
            if told["seconds"] < 0:
                yield f"{place.name} took {told['seconds']} s"


def _latest(world: World, newest: str) -> Iterator[str]:
    """`latest` is the last one taken, or it is said that nobody can know."""
    ended = world.run("verify", "--file", "latest", "--json")
    yield from ended.faults({0, 8})
    if ended.code == 0 and newest not in ended.said:
        yield f"latest is not {newest}, which was taken last: {ended.said}"
