"""The verbs that are disturbed. A new verb that writes is a line in VICTIMS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from helpers import checks
from helpers.store import parse_name

from .world import World, stock


@dataclass(frozen=True)
class Victim:
    """A verb's words; what there must be before; whether it may delete; what holds afterwards."""

    words: tuple[str, ...]
    deletes: bool = False
    prepare: Callable[[World], None] = lambda _world: None
    after: Callable[[World], Iterator[str]] = lambda _world: iter(())


def _three(world: World) -> None:
    """One backup more than is kept."""
    missing = 3 - len(world.before())
    stock(world, missing)


def _suspect(world: World) -> None:
    """The latest backup is suspect: a table was emptied."""
    world.execute("TRUNCATE volatile")
    ended = world.run("backup")
    if ended.code != 8:
        raise RuntimeError(ended.said)


def _accepted(world: World) -> Iterator[str]:
    """It can still be accepted, unless it was; from then on everything is as usual."""
    ended = world.run("accept", "--file", "latest")
    yield from ended.faults({0, 8})
    latest = max(world.before(), key=lambda name: parse_name(name).time)
    record = checks.read(world.store / latest)
    if not record or not record.accepted:
        yield f"{latest} cannot be accepted: {ended.said}"
    world.execute("INSERT INTO volatile SELECT generate_series(1, 100)")


def _equal(world: World) -> Iterator[str]:
    """A drill that was disturbed can be had again, and what was published drills equal."""
    ended = world.run("drill", "--file", "latest")
    if ended.code:
        yield f"the latest backup does not drill equal: {ended.said}"


VICTIMS: dict[str, Victim] = {
    "backup": Victim(("backup",)),
    "backup --prune": Victim(("backup", "--prune"), deletes=True),
    "prune --apply": Victim(("prune", "--apply"), deletes=True, prepare=_three),
    "verify": Victim(("verify", "--file", "latest")),
    "drill": Victim(("drill", "--file", "latest"), after=_equal),
    "accept": Victim(("accept", "--file", "latest"), prepare=_suspect, after=_accepted),
}
