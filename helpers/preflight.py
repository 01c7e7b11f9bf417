"""What must hold before a backup writes anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .catalog import Facts, Table
from .errors import DatabaseError, RefusedError, StorageError
from .listing import Backup
from .store import Store

HEADROOM = 1.2
"""A backup may be this much larger than the last one, in proportion to the database."""

_NAMED = 5


def check(tables: Sequence[Table], required: Iterable[str], user: str) -> None:
    """Raise unless every table can be read whole and the required ones are there."""
    _check_required(tables, required)
    unreadable = [table.qualified for table in tables if not table.readable]
    if unreadable:
        raise DatabaseError(
            f"Role {user} may not read {_some(unreadable)}.",
            f'Grant it: GRANT pg_read_all_data TO "{user}" (14 and later), '
            "or SELECT on each table and USAGE on its schema.",
        )
    filtered = [table.qualified for table in tables if table.row_security]
    if filtered:
        raise DatabaseError(
            f"Row-level security would hide rows of {_some(filtered)} from role {user}.",
            f'Let it see all: ALTER ROLE "{user}" BYPASSRLS.',
        )


def check_space(store: Store, facts: Facts, earlier: Backup | None) -> None:
    """Raise StorageError unless the store has room for what this backup will take."""
    needed = expected_size(facts, earlier)
    free = store.free()
    if free < needed:
        raise StorageError(
            f"{store.path} has {free / 1e6:,.0f} MB free; this backup may take "
            f"{needed / 1e6:,.0f} MB.",
            "Free some space there, run prune with --apply, or name another place with --dest.",
        )


def expected_size(facts: Facts, earlier: Backup | None) -> int:
    """Bytes to expect: the last backup's share of the database with headroom, else all of it."""
    if earlier is None or earlier.manifest is None or not earlier.manifest.database.size:
        return facts.size
    share = earlier.manifest.totals.file_bytes / earlier.manifest.database.size
    return int(facts.size * share * HEADROOM)


def _check_required(tables: Sequence[Table], required: Iterable[str]) -> None:
    names = {table.name for table in tables} | {table.qualified for table in tables}
    missing = [name for name in required if name not in names]
    if missing:
        raise RefusedError(
            f"The database has no table {_some(missing)}.",
            "Check that it is the right database; BACKUP_REQUIRED_TABLES says what must be there.",
        )


def _some(names: Sequence[str]) -> str:
    """A few names for a message; the rest is counted."""
    shown = ", ".join(names[:_NAMED])
    rest = len(names) - _NAMED
    return f"{shown} and {rest} more" if rest > 0 else shown
