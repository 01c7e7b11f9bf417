"""The rows of COPY streams, added up so that their order does not matter."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator

from .streams import SIGNATURE, TERMINATOR

_MODULUS = 1 << 256
_HEADER = len(SIGNATURE) + 8
"""Bytes before the first row: the signature, the flags, and the length of an empty extension."""


class Rows:
    """A count of rows and the sum of their hashes; two that are equal hold the same rows."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and (self.count, self._sum) == (other.count, other._sum)

    __hash__ = None  # type: ignore[assignment] # it changes

    def add(self, blocks: Iterable[bytes], *, binary: bool) -> None:
        """Add every row of a stream; pg_dump's terminator is none."""
        for row in _tuples(blocks) if binary else _lines(blocks):
            self.count += 1
            self._sum = (self._sum + int.from_bytes(hashlib.sha256(row).digest(), "big")) % _MODULUS


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a text stream up to the line that ends it; no row is written so."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if line == TERMINATOR.rstrip(b"\n"):
                return
            yield line


def _tuples(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Rows of a binary stream: a count of fields, each with its length (-1 is NULL)."""
    reader = _Buffer(blocks)
    reader.take(_HEADER)
    while (fields := struct.unpack(">h", reader.take(2))[0]) >= 0:
        row = bytearray()
        for _ in range(fields):
            size = reader.take(4)
            row += size + reader.take(max(0, struct.unpack(">i", size)[0]))
        yield bytes(row)


class _Buffer:
    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = bytearray()
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes; struct.error from the caller's unpacking where the stream ends early."""
        while len(self._held) - self._at < size:
            block = next(self._blocks, b"")
            if not block:
                break
            del self._held[: self._at]
            self._at = 0
            self._held += block
        piece = bytes(self._held[self._at : self._at + size])
        self._at += size
        return piece
