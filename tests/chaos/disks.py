"""Disks that fail: a power cut, errors, no room, stalls, and a mount that goes away."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from helpers.store import PARTIAL

from . import invariants
from .forgetful import Plan
from .mounting import Mount
from .victims import VICTIMS
from .world import CODES, World, grow, wait

_ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_WRITING = ("create", "write", "fsync", "fsyncdir", "mkdir", "rename", "unlink", "rmdir")
_READING = ("open", "read", "getattr", "readdir")

_usual: dict[str, int] = {}
"""Operations that each victim needs when nobody disturbs it."""


def cut(world: World, mount: Mount) -> tuple[str, Iterator[str]]:
    """The power fails after some operation."""
    name = world.chance.choice(list(VICTIMS))
    return f"power cut during {name}", _cut(world, mount, name)


def _cut(world: World, mount: Mount, name: str) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    before = world.before()
    begin = mount.operations()
    after = world.chance.randint(0, int(_usual.get(name, 400) * 1.1))
    mount.arm(Plan("cut", after=after, seed=world.chance.getrandbits(32)))
    with world.begun(*victim.words) as running:
        while not running.over and not _is_cut(mount):
            time.sleep(0.005)
        ran_through = running.over and not _is_cut(mount)
        if ran_through:
            _usual[name] = mount.operations() - begin
            published = running.end().published
            mount.arm(Plan("cut", after=-1, seed=world.chance.getrandbits(32)))
        running.kill()
    mount.down()
    mount.up()
    if ran_through and published and not (world.store / published).exists():
        yield f"{published} was reported, and the power cut took it away"
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    grow(world)


def _is_cut(mount: Mount) -> bool:
    try:
        mount.operations()
    except OSError:
        return True
    return False


def refuse(world: World, mount: Mount) -> tuple[str, Iterator[str]]:
    """One operation, or all from some moment on, ends with an error."""
    name = world.chance.choice(list(VICTIMS))
    reading = world.chance.random() < 0.3
    kinds = _READING if reading else _WRITING
    if world.chance.random() < 0.6:
        kinds = (world.chance.choice(kinds),)
    plan = Plan(
        "refuse",
        after=world.chance.randint(0, 20 if len(kinds) == 1 else 150),
        kinds=kinds,
        error=errno.EIO if reading else world.chance.choice(_ERRORS),
        times=world.chance.choice((1, 1 << 30)),
    )
    what = f"{errno.errorcode[plan.error]} from {'/'.join(kinds)}"
    often = "once" if plan.times == 1 else "for good"
    return f"{what} ({often}) during {name}", _disturbed(world, mount, name, plan)


def fill(world: World, mount: Mount) -> tuple[str, Iterator[str]]:
    """No byte more fits after some number of bytes."""
    name = world.chance.choice(list(VICTIMS))
    plan = Plan(
        "full",
        after=world.chance.choice((0, 1, world.chance.randint(0, 400_000))),
        error=errno.ENOSPC,
    )
    return f"a disk that is full during {name}", _disturbed(world, mount, name, plan)


def misread(world: World, mount: Mount) -> tuple[str, Iterator[str]]:
    """The disk cannot read what it holds when it is verified."""
    plan = Plan("refuse", after=world.chance.randint(0, 12), kinds=("read",))
    return "a read error during verify", _disturbed(world, mount, "verify", plan)


def stall(world: World, mount: Mount) -> tuple[str, Iterator[str]]:
    """One operation takes seconds, and somebody loses patience."""
    name = world.chance.choice(list(VICTIMS))
    plan = Plan("stall", after=world.chance.randint(0, 300), times=1, seconds=2.0)
    number = world.chance.choice((None, signal.SIGTERM, signal.SIGINT))
    said = f", {number.name} meanwhile" if number else ""
    return f"a stall during {name}{said}", _disturbed(world, mount, name, plan, number)


def _disturbed(
    world: World, mount: Mount, name: str, plan: Plan, number: signal.Signals | None = None
) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    before = world.before()
    mount.arm(plan)
    with world.begun(*victim.words) as running:
        if number:
            time.sleep(world.chance.uniform(0.8, 2.0))
            running.signal(number)
        ended = running.end()
    mount.arm(Plan())
    yield from ended.faults(CODES)
    unsaid = os.strerror(plan.error) not in ended.said
    # a single error in what the system reads ahead is passed over: it asks again, and nobody hears
    lasting = plan.kinds == ("read",) and plan.times > 1
    if lasting and ended.code == 0 and unsaid and mount.struck():
        yield f"it ended with 0 and said nothing of a read error: {ended.said}"
    yield from world.told(name, ended.code, before)
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    grow(world)


def vanish(world: World, mount: Mount) -> tuple[str, Iterator[str]]:
    """The mount goes away while a run uses it, and comes back later."""
    name = world.chance.choice(list(VICTIMS))
    way = world.chance.choice(("is unmounted", "loses its server"))
    return f"the store {way} during {name}", _vanished(world, mount, name, way)


def _vanished(world: World, mount: Mount, name: str, way: str) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    mount.down()  # so that the disk's image is what the store holds now
    mount.up()
    before = world.before()
    with world.begun(*victim.words) as running:
        if name.startswith("backup"):
            # Before that the run could not know that something else is to be there.
            wait(lambda: running.over or list(mount.store.glob(f"{PARTIAL}*")), 30)
        time.sleep(world.chance.uniform(0, 1.2))
        if way == "is unmounted":
            subprocess.run(["umount", "--lazy", str(mount.store)], check=True)
        else:
            mount.kill()
        ended = running.end()
    mount.down()
    yield from ended.faults(CODES)
    left = invariants.trees(mount.store)
    yield from (f"{name} is in the mount point" for name in left)
    mount.up()
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    grow(world)
