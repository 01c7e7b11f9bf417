"""Binary COPY streams that are equal but for the numbers of types, which each database gives anew.

Arrays and composites are sent with the oids of their elements' types, and arrays with a flag that
they may hold nulls: a slice without any keeps it, until it has been received (arrayfuncs.c:
array_send, array_recv).
"""

from __future__ import annotations

import mmap
import struct
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
        """Whether two files differ only where `copy` has one of the oids, and always alike, or
        where an array without nulls no longer says that it may hold some.
        """
        size = original.seek(0, 2)
        if size != copy.seek(0, 2):
            return False
        with (
            mmap.mmap(original.fileno(), 0, access=mmap.ACCESS_READ) as before,
            mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ) as after,
        ):
            at = 0
            while (at := _first_difference(before, after, at, size)) < size:
                end = self._number(before, after, at) or _flags(before, after, at)
                if not end:
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


def _flags(before: mmap.mmap, after: mmap.mmap, at: int) -> int | None:
    """Where the flags of an array end that a differing byte belongs to; None if it is data."""
    start = at - 3
    lost = (before[start : at + 1], after[start : at + 1]) == (b"\0\0\0\1", bytes(4))
    return at + 1 if lost and _is_full_array(after, start - 8) else None


def _is_full_array(data: mmap.mmap, start: int) -> bool:
    """Whether there is a length, and an array of that length which holds no null."""
    if start < 0 or start + 16 > len(data):
        return False
    length, dimensions = struct.unpack_from(">ii", data, start)
    end, at = start + 4 + length, start + 16 + 8 * dimensions
    if not 1 <= dimensions <= 6 or not at <= end <= len(data):
        return False
    while at + 4 <= end:
        size = struct.unpack_from(">i", data, at)[0]
        if size < 0:
            return False
        at += 4 + size
    counts = struct.unpack_from(">" + "i4x" * dimensions, data, start + 16)
    return at == end and all(count > 0 for count in counts)


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
