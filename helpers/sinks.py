"""Where a copied table goes: one file, raw or compressed, hashed as its blocks pass."""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path

from isal import isal_zlib

from . import packing
from .errors import ToolError
from .packing import BLOCK
from .streams import SIGNATURE, TRAILER, DataFacts, FileFacts

WORTHWHILE = 0.8
"""By default data is compressed if it shrinks to less than this share: text does, embeddings do
not."""

SAMPLE = 1 << 16
"""Bytes of a block that stand for it, where it is likely that it does not shrink."""

_EARLY = 16 << 20
"""Bytes of a file after which the disk is asked to begin with them, while more come."""

_LEVEL = 1
_GZIP = 31  # zlib's window bits for a gzip header


class Sink:
    """A data file being written; `path` is its name if it stays raw, .gz or .zst is added if not.

    `compression` is auto, gzip, zstd or none. With auto the first block decides between gzip and
    raw. What comes later can change it: in a gzip file each block is a member of its own, stored
    where it does not shrink; a raw file is written anew as gzip once all that came so far would be
    worth it.
    """

    def __init__(self, path: Path, compression: str) -> None:
        self.path = path
        self._compression = compression
        self._limit = WORTHWHILE if compression == "auto" else 1.0
        self._held: list[bytes] = []
        self._held_size = 0
        self._file: _File | None = None
        self._packed = False
        self._zstd = packing.zstd_packer() if compression == "zstd" else None
        self._shrinks = True
        self._estimate = 0.0
        self._stream = hashlib.sha256()
        self._stream_size = 0
        self._end = b""

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream, in pieces of any size; raises OSError."""
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size >= BLOCK:
            self._flush()

    def finish(self, rows: int) -> DataFacts:
        """Put the file on the disk and say what is in it.

        Raises OSError, and ToolError if what came is not a whole binary COPY stream.
        """
        self._flush()
        if self._file is None or self._end != TRAILER:
            raise ToolError(
                f"The copy of {self.path.name} ended before its data did.",
                "Run the backup again; earlier backups are as they were.",
            )
        self._file.sync()
        self.close()
        stream = self._stream.hexdigest()
        digest = self._file.digest.hexdigest() if self._packed else stream
        return DataFacts(FileFacts(self._file.size, digest), rows, self._stream_size, stream)

    def close(self) -> None:
        """Let go of the file, finished or not."""
        if self._file:
            self._file.close()

    def discard(self) -> None:
        """Remove what was written so far, so that the table can be copied anew."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        block = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held, self._held_size = [], 0
        if not block:
            return
        file = self._file or self._open(block)
        self._stream.update(block)
        self._stream_size += len(block)
        self._end = (self._end + block[-len(TRAILER) :])[-len(TRAILER) :]
        if self._packed:
            file.write_hashed(self._member(block))
        else:
            file.write(block)
            self._reconsider(block)

    def _open(self, first: bytes) -> _File:
        """Begin the file, once its first block is there to decide how."""
        if not first.startswith(SIGNATURE):
            raise ToolError(
                f"The copy of {self.path.name} is not a binary COPY stream.",
                "Set BACKUP_FORMAT=text, and report it with the versions of server and client.",
            )
        self._packed = self._compression in {"gzip", "zstd"} or (
            self._compression == "auto" and _packed_share(first) < WORTHWHILE
        )
        if self._packed:
            suffix = packing.ZST if self._zstd else packing.GZ
            self.path = self.path.with_name(self.path.name + suffix)
        self._file = _File(self.path)
        return self._file

    def _reconsider(self, block: bytes) -> None:
        """Turn to gzip if that would have been worth it for the whole, by samples of it."""
        if self._compression != "auto":
            return
        self._estimate += _packed_share(_sample(block)) * len(block)
        if self._estimate < WORTHWHILE * self._stream_size:
            self._write_anew()

    def _write_anew(self) -> None:
        """Write what is there once more as gzip: a raw file cannot go on as one."""
        self.close()
        raw, self._packed = self.path, True
        self.path = raw.with_name(raw.name + packing.GZ)
        self._file = _File(self.path)
        with raw.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                self._file.write_hashed(self._member(block))
        raw.unlink()

    def _member(self, block: bytes) -> bytes:
        """The block, compressed: every reader takes one such behind the other for one stream."""
        if self._zstd:
            return self._zstd(block)
        if self._shrinks or _packed_share(_sample(block)) < self._limit:
            packed = isal_zlib.compress(block, _LEVEL, _GZIP)
            self._shrinks = len(packed) < self._limit * len(block)
            if self._shrinks:
                return packed
        return zlib.compress(block, 0, _GZIP)


class _File:
    """A new file, written without a buffer; its size, and the hash of what was to be hashed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self.digest = hashlib.sha256()
        self.size = 0
        self._begun = 0

    def write(self, data: bytes) -> None:
        """Write all of it: the system may take less than it is given."""
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        if self.size - self._begun >= _EARLY:
            self._begin()

    def _begin(self) -> None:
        """Start putting on the disk what is written, so that little is left for fsync to wait for.

        Of what is not on the disk yet, Linux takes "not needed" for that (mm/fadvise.c).
        """
        with suppress(OSError, AttributeError):  # it is a hint, which not every system has
            length = self.size - self._begun
            os.posix_fadvise(self._file.fileno(), self._begun, length, os.POSIX_FADV_DONTNEED)
        self._begun = self.size

    def write_hashed(self, data: bytes) -> None:
        self.digest.update(data)
        self.write(data)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _packed_share(data: bytes) -> float:
    return len(isal_zlib.compress(data, _LEVEL)) / len(data)


def _sample(block: bytes) -> bytes:
    """A piece of its middle."""
    start = max(len(block) - SAMPLE, 0) // 2
    return block[start : start + SAMPLE]
