"""The verbs that are disturbed. A new verb that writes is a line in VICTIMS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from helpers import checks, places
from helpers.names import parse_name

from .world import World, stock

TARGET = "chaos_kept"
_RESTORE = ("restore", "--file", "latest", "--replace", "--to", TARGET)


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
    yield from (f"{left.name} was left over" for left in world.place.glob(f"{places.PREFIX}*"))


def _at(world: World, database: str, sql: str) -> list[str]:
    """The first column of what a statement answers in another database of the server."""
    url = f"{world.url.rpartition('/')[0]}/{database}"
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return [str(row[0]) for row in cursor.fetchall()] if cursor.description else []


def _family(world: World) -> list[str]:
    """The target and every database that restores have made beside it."""
    names = _at(world, "postgres", "SELECT datname FROM pg_database")
    return [name for name in names if name.startswith(TARGET)]


def _precious(world: World) -> None:
    """The target of a restore holds what is in no backup."""
    for name in _family(world):
        _at(world, "postgres", f'DROP DATABASE "{name}" WITH (FORCE)')
    _at(world, "postgres", f'CREATE DATABASE "{TARGET}"')
    _at(world, TARGET, "CREATE TABLE precious AS SELECT 1 AS id")


def _not_lost(world: World) -> Iterator[str]:
    """The target is what it was, or kept under another name; the next restore works."""
    yield from _kept(world)
    words = (*_RESTORE, "--end-sessions")
    # The server may not have noticed yet that the one before is gone.
    ended = next((e for e in (world.run(*words) for _ in range(20)) if e.code != 6), None)
    if ended is None:
        yield "a restore that was killed holds its lock still"
    elif ended.code:
        yield f"the next restore ended with {ended.code}: {ended.said[-400:]}"
    yield from _kept(world)
    yield from (f"{name} was left over" for name in _family(world) if "_restoring_" in name)


def _kept(world: World) -> Iterator[str]:
    family = [name for name in _family(world) if "_restoring_" not in name]
    if TARGET not in family:
        yield "the target of a restore is gone"
    there = "SELECT 1 FROM pg_class WHERE relname = 'precious'"
    if not any(_at(world, name, there) for name in family):
        yield "what the target of a restore held is lost"


VICTIMS: dict[str, Victim] = {
    "backup": Victim(("backup",)),
    "backup --prune": Victim(("backup", "--prune"), deletes=True),
    "prune --apply": Victim(("prune", "--apply"), deletes=True, prepare=_three),
    "verify": Victim(("verify", "--file", "latest")),
    "drill": Victim(("drill", "--file", "latest"), after=_equal),
    "restore --replace": Victim(_RESTORE, prepare=_precious, after=_not_lost),
    "accept": Victim(("accept", "--file", "latest"), prepare=_suspect, after=_accepted),
}
