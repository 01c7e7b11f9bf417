"""Whether a backup looks as if data were lost since an earlier one (pure)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from .manifest import ColumnPart, Manifest

WEIGHTY: Final = 1 << 20
"""Bytes of data from which a table may be suspect for them alone: in less, one value is much."""


@dataclass
class _Held:
    """What a table holds, or all partitions of one; `shapes` are how its rows are written."""

    rows: int = 0
    bytes: int = 0
    shapes: set[tuple[str, tuple[ColumnPart, ...]]] = field(default_factory=set)


def between(earlier: Manifest, later: Manifest, percent: int) -> tuple[str, ...]:
    """Why `later` looks as if data were lost: tables gone; rows, their data or large objects down
    by more than `percent`.

    Partitions are added up under their root, since dropping an old one is everyday work.
    """
    before, after = _by_table(earlier), _by_table(later)
    since = f"since {earlier.backup.name}"
    reasons = []
    for name, old in sorted(before.items()):
        new = after.get(name)
        if new is None:
            reasons.append(f"table {name} is gone ({old.rows:,} rows in {earlier.backup.name})")
        elif _is_loss(old.rows, new.rows, percent):
            reasons.append(f"table {name} went from {old.rows:,} to {new.rows:,} rows {since}")
        elif _is_emptied(old, new, percent):
            was, now = f"{old.bytes:,}", f"{new.bytes:,}"
            reasons.append(f"table {name} went from {was} to {now} bytes of data {since}")
    if _is_loss(earlier.large_objects, later.large_objects, percent):
        was, now = f"{earlier.large_objects:,}", f"{later.large_objects:,}"
        reasons.append(f"large objects went from {was} to {now} {since}")
    return tuple(reasons)


def _is_loss(before: int, after: int, percent: int) -> bool:
    return (before - after) * 100 > before * percent


def _is_emptied(old: _Held, new: _Held, percent: int) -> bool:
    """Whether its rows are there but not what was in them, as after an UPDATE without WHERE."""
    comparable = old.shapes == new.shapes and len(old.shapes) == 1 and old.bytes >= WEIGHTY
    return comparable and _is_loss(old.bytes, new.bytes, percent)


def _by_table(manifest: Manifest) -> dict[str, _Held]:
    held: defaultdict[str, _Held] = defaultdict(_Held)
    for table in manifest.tables:
        one = held[table.partition_of or table.qualified]
        one.rows += table.rows
        one.bytes += table.bytes
        one.shapes.add((table.format, table.columns))
    return dict(held)
