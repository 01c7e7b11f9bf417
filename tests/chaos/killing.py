"""SIGKILL at a random moment: of the run alone, of its group, of everything that it started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from .victims import VICTIMS
from .world import World, grow

WAYS = ("the run", "its group", "everything", "a tool")

_usual: dict[str, float] = {}
"""Seconds that each victim takes on this machine when nobody disturbs it."""


def kill(world: World) -> tuple[str, Iterator[str]]:
    """Kill a run; what was done, and what is wrong since."""
    name, way = world.chance.choice(list(VICTIMS)), world.chance.choice(WAYS)
    return f"SIGKILL of {way} during {name}", _killed(world, name, way)


def _killed(world: World, name: str, way: str) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    before = world.before()
    began = time.monotonic()
    with world.begun(*victim.words) as running:
        moment = _usual.get(name, 1.5) * world.chance.uniform(0.3, 1.05)
        while not running.over and time.monotonic() - began < moment:
            time.sleep(0.001)
        if running.over:
            _usual[name] = time.monotonic() - began
        elif way == "everything":
            _kill(world.tools())
        elif way == "a tool":
            _kill(world.tools()[:1])
        ended = running.end() if way == "a tool" else running.kill(group=way == "its group")
    yield from ended.faults({0, 8, 9} if way == "a tool" else {0})
    if world.chance.random() < 0.5:  # the next run may also come at once
        yield from world.await_tools()
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    yield from world.await_tools()
    grow(world)


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
