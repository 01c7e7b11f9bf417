"""Binary COPY streams that are equal but for the numbers of types, which each database gives anew.

Arrays and composites are sent with the oids of their elements' types (arrayfuncs.c: array_send).
"""

from __future__ import annotations

import mmap
from collections.abc import Collection
from typing import IO

FIRST_OID = 12000
"""Types that are not the same on every server have this oid or a higher one: users', and those of
the information_schema (transam.h: FirstUnpinnedObjectId)."""

_SIZE = 4
_STEP = 4096


class Numbering:
    """Which number of the original stands for which of the copy; learnt while comparing."""

    def __init__(self, oids: Collection[int]) -> None:
        self._oids = {oid.to_bytes(_SIZE, "big") for oid in oids if oid >= FIRST_OID}
        self._known: dict[bytes, bytes] = {}

    def same(self, original: IO[bytes], copy: IO[bytes]) -> bool:
        """Whether two files differ only where `copy` has one of the oids, and always alike."""
        size = original.seek(0, 2)
        if size != copy.seek(0, 2):
            return False
        with (
            mmap.mmap(original.fileno(), 0, access=mmap.ACCESS_READ) as before,
            mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ) as after,
        ):
            at = 0
            while (at := _first_difference(before, after, at, size)) < size:
                if not (end := self._number(before, after, at)):
                    return False
                at = end
        return True

    def _number(self, before: mmap.mmap, after: mmap.mmap, at: int) -> int | None:
        """Where the number ends that a differing byte belongs to; None if it is data."""
        for start in range(max(0, at - _SIZE + 1), at + 1):
            old, new = before[start : start + _SIZE], after[start : start + _SIZE]
            plausible = new in self._oids and int.from_bytes(old, "big") >= FIRST_OID
            if plausible and self._known.setdefault(new, old) == old:
                return start + _SIZE
        return None


def _first_difference(before: mmap.mmap, after: mmap.mmap, at: int, size: int) -> int:
    while at < size and before[at : at + _STEP] == after[at : at + _STEP]:
        at += _STEP
    if at >= size:
        return size
    left, right = 0, min(_STEP, size - at)
    while right - left > 1:  # equal before `left`, different somewhere before `right`
        middle = (left + right) // 2
        if before[at + left : at + middle] == after[at + left : at + middle]:
            left = middle
        else:
            right = middle
    return at + left
