"""Many runs at once: backups of two databases, prunes, verifications and lists in one store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from .world import World, grow

_CROWD = (
    *[("backup", "--prune")] * 8,
    *[("prune", "--apply")] * 3,
    *[("verify", "--file", "latest")] * 4,
    *[("list",)] * 3,
)

_CODES = {"backup": {0, 6}, "prune": {0, 6}, "verify": {0, 7}, "list": {0}}


def crowd(world: World, other: World) -> tuple[str, Iterator[str]]:
    """Everybody comes at once; `other` is another database's world with the same store."""
    return "eighteen runs at once", _crowded(world, other)


def _crowded(world: World, other: World) -> Iterator[str]:
    before = world.before()
    order = list(_CROWD)
    world.chance.shuffle(order)
    with ExitStack() as stack:
        runs = []
        for words in order:
            whose = other if world.chance.random() < 0.3 else world
            runs.append((words, stack.enter_context(whose.begun(*words))))
            time.sleep(world.chance.uniform(0, 0.25))
        for words, running in runs:
            ended = running.end()
            said = f"{' '.join(words)}: "
            yield from (said + fault for fault in ended.faults(_CODES[words[0]]))
            if words == ("list",) and "damaged" in ended.said:
                yield f"a list of good backups said: {ended.said}"
    yield from world.settled(before, may_delete=True, crashed=False)
    yield from other.settled({}, may_delete=True, crashed=False)
    grow(world)
