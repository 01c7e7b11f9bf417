"""Try to make it lose data, in so many rounds of faults drawn by a seed, and say what was found."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from helpers.scratch import ScratchServer

from ..running import PROJECT
from . import clocks, crowds, devices, disks, killing, mounting, outages, world
from .devices import Device
from .mounting import Mount
from .world import World

PLACE = PROJECT / ".chaos"
REPORT = PROJECT / "docs" / "reliability.md"
BEGIN = "<!-- what follows is written by make chaos -->\n"
END = "<!-- this was written by make chaos -->\n"

Round = Callable[[], tuple[str, Iterator[str]]]


@dataclass(frozen=True)
class Played:
    """How many rounds of each kind, and the faults of each round that had some."""

    kinds: Counter[str] = field(default_factory=Counter)
    found: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def main() -> int:
    """Play what the arguments ask for; 1 if a fault was found."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=threading.TIMEOUT_MAX / 60)
    parser.add_argument("--only", nargs="+", choices=sorted(SHARES), default=sorted(SHARES))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    began = time.monotonic()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    timer = threading.Timer(asked.minutes * 60, ended.set)
    timer.daemon = True
    timer.start()
    played = play(PLACE, asked.rounds, asked.seed, asked.only, ended)
    shutil.rmtree(PLACE, ignore_errors=True)
    minutes = (time.monotonic() - began) / 60
    text = report(played, asked.seed, minutes)
    print(text)
    if asked.write:
        _keep(text)
    return 1 if played.found else 0


SHARES = {
    "kill": 14,
    "cut": 6,
    "refuse": 4,
    "fill": 2,
    "misread": 1,
    "stall": 1,
    "vanish": 2,
    "outage": 2,
    "session": 2,
    "failover": 1,
    "clock": 1,
    "crowd": 1,
    **dict.fromkeys(devices.MAKERS, 1),
}
"""How often each kind of round comes, beside the others."""


def play(
    place: Path, rounds: int, seed: int, kinds: list[str], ended: threading.Event | None = None
) -> Played:
    """Play so many rounds of these kinds, or fewer once it is `ended` before the next one."""
    played = Played()
    chance = random.Random(seed)
    with ExitStack() as stack:
        at_hand = _kinds(place, stack, chance)
        for kind, why in lacking(kinds).items():
            print(f"     {MEANING[kind]}: not played, {why}", flush=True)
        able = [kind for kind in kinds if kind in at_hand]
        drawn = able + chance.choices(able, [SHARES[kind] for kind in able], k=rounds)
        for number, kind in enumerate(drawn[:rounds], start=1):
            if ended and ended.is_set():
                break
            what, faults = at_hand[kind]()
            wrong = list(faults)
            played.kinds[kind] += 1
            print(f"{number:>4} {what}: {'FAULT' if wrong else 'held'}", flush=True)
            for fault in wrong:
                print(f"       {fault}", flush=True)
                played.found[f"round {number}, {what}"].append(fault)
    return played


def lacking(kinds: list[str]) -> dict[str, str]:
    """The kinds that this machine cannot play, and why."""
    fuse = ("cut", "refuse", "fill", "misread", "stall", "vanish")
    reasons: dict[str, str | None] = {
        **dict.fromkeys(fuse, mounting.unavailable()),
        "clock": None if clocks.library() else "there is no libfaketime",
        **{system: devices.unavailable(system) for system in devices.MAKERS},
    }
    return {kind: why for kind in kinds if (why := reasons.get(kind))}


def _kinds(place: Path, stack: ExitStack, chance: random.Random) -> dict[str, Round]:
    """What this machine can play."""
    running = stack.enter_context(world.server(place / "server"))
    url = world.create(running, "chaos")
    plain = world.fresh(place / "plain", url, chance)
    other = World(plain.place, world.create(running, "other"), chance, plain.store)
    kinds: dict[str, Round] = {
        "kill": lambda: killing.kill(plain),
        "outage": lambda: outages.outage(plain, running),
        "session": lambda: outages.session(plain, running),
        "failover": lambda: outages.failover(plain, running),
        "crowd": lambda: crowds.crowd(plain, other),
    }
    if clocks.library():
        kinds["clock"] = lambda: clocks.jump(plain)
    if not mounting.unavailable():
        kinds |= _of_disks(place, stack, running, chance)
    for system in devices.MAKERS:
        if not devices.unavailable(system):
            kinds[system] = _of_device(place / system, stack, running, chance)
    return kinds


def _of_device(
    place: Path, stack: ExitStack, running: ScratchServer, chance: random.Random
) -> Round:
    device = stack.enter_context(Device(place, place.name))
    theirs = World(place, world.create(running, place.name), chance, device.store)
    world.stock(theirs, 2)
    return lambda: devices.disturb(theirs, device)


def _of_disks(
    place: Path, stack: ExitStack, running: ScratchServer, chance: random.Random
) -> dict[str, Round]:
    mount = stack.enter_context(Mount(place / "disk"))
    theirs = World(place / "disk", world.create(running, "disk"), chance, mount.store)
    world.stock(theirs, 2)
    return {
        "cut": lambda: disks.cut(theirs, mount),
        "refuse": lambda: disks.refuse(theirs, mount),
        "fill": lambda: disks.fill(theirs, mount),
        "misread": lambda: disks.misread(theirs, mount),
        "stall": lambda: disks.stall(theirs, mount),
        "vanish": lambda: disks.vanish(theirs, mount),
    }


MEANING = {
    "kill": "SIGKILL at a random moment: of the run, its group, a tool, or everything",
    "cut": "power cut after a random operation of the disk",
    "refuse": "an error of the disk, once or for good: EIO, ENOSPC, EDQUOT, EROFS",
    "fill": "a disk that is full after a random byte",
    "misread": "a read error from the disk during verify",
    "stall": "a disk that stalls, and a signal meanwhile",
    "vanish": "a store that is unmounted, or whose file system dies",
    "outage": "the server shut down immediately, or killed",
    "session": "one of the server's processes ended, or killed",
    "failover": "the server lost, its standby promoted",
    "clock": "a clock that jumps: seconds, summer time, years",
    "crowd": "eighteen runs at once in one store",
    "ext4": "ext4 on a loop device: full, or dead and replayed",
    "xfs": "XFS on a loop device: full, or dead and replayed",
    "btrfs": "Btrfs on a loop device: full",
}


def report(played: Played, seed: int, minutes: float) -> str:
    """What was played and what was found, as Markdown."""
    total, kinds, found = played.kinds.total(), played.kinds, played.found
    rows = [f"| {MEANING[kind]} | {number} |" for kind, number in kinds.items()]
    left = [
        f"\nNot played: {MEANING[kind]} ({why})." for kind, why in lacking(list(SHARES)).items()
    ]
    killed = ", ".join(f"`{verb}` {number}" for verb, number in sorted(killing.struck.items()))
    lines = [
        f"`make chaos ROUNDS={total} SEED={seed}`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{minutes:.0f} minutes: {total} rounds, {len(found)} of them with a fault.",
        "",
        "| fault | rounds |",
        "|---|--:|",
        *rows,
        *([f"\nSIGKILL hit a living run of {killed}."] if killed else []),
        *left,
        *[f"\n{where}: {'; '.join(faults)}" for where, faults in found.items()],
    ]
    return "\n".join(lines) + "\n"


def _keep(text: str) -> None:
    """Put the report between its marks."""
    before, _, rest = REPORT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    REPORT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
