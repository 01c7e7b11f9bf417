"""SIGKILL at a random moment: of the run alone, of its group, of everything that it started."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from .victims import VICTIMS
from .world import Ended, Running, World, grow

WAYS = ("the run", "its group", "everything", "a tool")

_usual: dict[str, float] = {}
"""Seconds that each victim takes on this machine when nobody disturbs it."""

_LONGER = 10.0
"""Than any of them takes: who is drawn first runs to its end, which tells how long that is."""

struck: Counter[str] = Counter()
"""How many runs of each victim were hit while they ran."""

_deck: list[str] = []
"""The victims whose turn is to come, so that each has as many as the others."""


def kill(world: World) -> tuple[str, Iterator[str]]:
    """Kill a run; what was done, and what is wrong since."""
    if not _deck:
        _deck.extend(world.chance.sample(list(VICTIMS), len(VICTIMS)))
    name, way = _deck.pop(), world.chance.choice(WAYS)
    return f"SIGKILL of {way} during {name}", _killed(world, name, way)


def _killed(world: World, name: str, way: str) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    before = world.before()
    began = time.monotonic()
    with world.begun(*victim.words) as running:
        usual = _usual.get(name, _LONGER)
        moment = world.chance.uniform(min(0.4, usual * 0.3), usual * 1.05)
        while not running.over and time.monotonic() - began < moment:
            time.sleep(0.001)
        if running.over:
            _usual[name] = time.monotonic() - began
            ended = running.end()
        else:
            struck[name] += 1
            ended = _strike(world, running, way)
    yield from ended.faults({0, 8, 9} if way == "a tool" else {0})
    if world.chance.random() < 0.5:  # the next run may also come at once
        yield from world.await_tools()
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    yield from world.await_tools()
    grow(world)


def _strike(world: World, running: Running, way: str) -> Ended:
    if way in {"everything", "a tool"}:
        _kill(world.tools() if way == "everything" else world.tools()[:1])
    return running.end() if way == "a tool" else running.kill(group=way == "its group")


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
