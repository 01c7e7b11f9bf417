"""Read data files of an archive: decompress, hash and count rows, in blocks of constant size."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from . import packing
from .errors import VerificationError
from .packing import BLOCK

TERMINATOR = b"\\.\n\n\n"
"""What pg_dump writes behind the rows of a table (pg_dump.c: dumpTableData_copy)."""

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
TRAILER = b"\xff\xff"
"""How a binary COPY stream begins and ends (PostgreSQL documentation, COPY, Binary Format)."""


@dataclass(frozen=True)
class FileFacts:
    """A file as it lies on the disk."""

    size: int
    sha256: str


@dataclass(frozen=True)
class DataFacts:
    """A data file, and the COPY stream in it: bytes and hash uncompressed, terminator left out.

    `rows` is None where reading the stream does not tell: in a binary one.
    """

    file: FileFacts
    rows: int | None
    bytes: int
    sha256: str


def file_facts(path: Path) -> FileFacts:
    """Size and SHA-256 of a file, read from the disk and not from memory where that can be asked.

    Raises VerificationError if it cannot be read.
    """
    reader = _Reader(path)
    for _ in reader.blocks():
        pass
    return reader.facts()


def read_to_end(path: Path, window: int = packing.WINDOW) -> FileFacts:
    """The same, for a file whose content only has to decompress (a large object, a list)."""
    reader = _Reader(path)
    for _ in _content(reader, path, window):
        pass
    return reader.facts()


def table_data(path: Path, window: int = packing.WINDOW) -> DataFacts:
    """Read the text COPY data of one table to its end.

    Raises VerificationError if it does not decompress or lacks pg_dump's terminator.
    """
    reader = _Reader(path)
    digest, rows, size, held = hashlib.sha256(), 0, 0, b""
    for piece in _content(reader, path, window):
        ready, held = _hold_back(held + piece)
        digest.update(ready)
        rows += ready.count(b"\n")
        size += len(ready)
    if held != TERMINATOR:
        raise _bad(path, "ends before its data does")
    return DataFacts(reader.facts(), rows, size, digest.hexdigest())


def binary_data(path: Path) -> DataFacts:
    """Read the binary COPY data of one table to its end.

    Raises VerificationError if it does not decompress, begin or end as such a stream does: cut at
    the end of a row, PostgreSQL itself would restore it without an error.
    """
    reader = _Reader(path)
    raw = not packing.is_packed(path)
    digest, size, begin, end = hashlib.sha256(), 0, b"", b""
    for piece in _content(reader, path):
        if not raw:  # else it is the file's own, which the reader has
            digest.update(piece)
        size += len(piece)
        begin = begin if len(begin) >= len(SIGNATURE) else begin + piece[: len(SIGNATURE)]
        end = (end + piece[-len(TRAILER) :])[-len(TRAILER) :]
    if not begin.startswith(SIGNATURE):
        raise _bad(path, "does not begin as binary data does")
    if end != TRAILER:
        raise _bad(path, "ends before its data does")
    facts = reader.facts()
    return DataFacts(facts, None, size, facts.sha256 if raw else digest.hexdigest())


def content(path: Path) -> Iterator[bytes]:
    """What a data file holds, decompressed, in blocks; VerificationError if it cannot be read."""
    return _content(_Reader(path), path)


def ends(path: Path, length: int, *, gzipped: bool) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file's content, all of it read (and decompressed)."""
    head = tail = b""
    reader = _Reader(path)
    for piece in _named(packing.gunzip(reader.blocks()), path) if gzipped else reader.blocks():
        head = head if len(head) >= length else (head + piece)[:length]
        tail = (tail + piece)[-length:]
    return head, tail


def read_bounded(path: Path, limit: int) -> bytes:
    """A whole plain file; VerificationError, unread, if it has more than `limit` bytes."""
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _bad(path, "is larger than it may be")
        return file.read()


def _hold_back(data: bytes) -> tuple[bytes, bytes]:
    """The terminator's length is kept until it is known whether anything follows."""
    cut = max(len(data) - len(TERMINATOR), 0)
    return data[:cut], data[cut:]


class _Reader:
    """A file read once from front to end, hashed as it passes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0

    def blocks(self) -> Iterator[bytes]:
        with opened(self._path) as file:
            _forget_cache(file)
            # To read a small file, a block's worth of memory need not be had and given back.
            step = min(BLOCK, os.fstat(file.fileno()).st_size + 1)
            while block := file.read(step):
                self._digest.update(block)
                self.size += len(block)
                yield block

    def facts(self) -> FileFacts:
        return FileFacts(self.size, self._digest.hexdigest())


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A plain file, opened to be read; VerificationError for anything else, and if reading fails.

    A link is not followed: a file that points elsewhere is not the backup's. Nor is a FIFO waited
    for, which is what O_NONBLOCK is about.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with os.fdopen(os.open(path, flags), "rb", 0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _bad(path, "is not a plain file")
            yield file
    except OSError as error:
        how = "is a link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise _bad(path, how) from error


def _forget_cache(file: BinaryIO) -> None:
    """What is checked shall be what the disk holds."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _content(reader: _Reader, path: Path, window: int = packing.WINDOW) -> Iterator[bytes]:
    """The file's content: decompressed if its name says so, as pg_restore decides it."""
    return _named(packing.unpacked(reader.blocks(), path, window), path)


def _named(pieces: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """The pieces; what is wrong with them is said of the file."""
    try:
        yield from pieces
    except packing.Broken as error:
        raise _bad(path, str(error)) from error


def _bad(path: Path, how: str) -> VerificationError:
    return VerificationError(
        f"{path.name} {how}.", "Do not restore from this backup; take another and check the disk."
    )
