"""Where a copied table goes: one file, raw or gzip, hashed as its blocks pass."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from .errors import ToolError
from .streams import BLOCK, SIGNATURE, TRAILER, DataFacts, FileFacts

WORTHWHILE = 0.8
"""By default a table is compressed if its first megabyte shrinks to less than this share: text
does, embeddings do not."""

_LEVEL = 1
_GZIP = 31  # zlib's window bits for a gzip header


class Sink:
    """A data file being written; `path` is its name if it stays raw, .gz is added if not.

    `compression` is auto, gzip or none.
    """

    def __init__(self, path: Path, compression: str) -> None:
        self.path = path
        self._compression = compression
        self._held: list[bytes] = []
        self._held_size = 0
        self._file: BinaryIO | None = None
        self._deflate: isal_zlib.Compress | None = None
        self._stream = hashlib.sha256()
        self._stream_size = 0
        self._digest = hashlib.sha256()
        self._size = 0
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
        if self._deflate:
            self._emit(self._deflate.flush())
        if self._file is None or self._end != TRAILER:
            raise ToolError(
                f"The copy of {self.path.name} ended before its data did.",
                "Run the backup again; earlier backups are as they were.",
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        stream = self._stream.hexdigest()
        digest = self._digest.hexdigest() if self._deflate else stream
        return DataFacts(FileFacts(self._size, digest), rows, self._stream_size, stream)

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
        if self._file is None:
            self._open(block)
        self._stream.update(block)
        self._stream_size += len(block)
        self._end = (self._end + block[-len(TRAILER) :])[-len(TRAILER) :]
        self._emit(self._deflate.compress(block) if self._deflate else block)

    def _open(self, first: bytes) -> None:
        """Begin the file, once its first block is there to decide how."""
        if not first.startswith(SIGNATURE):
            raise ToolError(
                f"The copy of {self.path.name} is not a binary COPY stream.",
                "Set BACKUP_FORMAT=text, and report it with the versions of server and client.",
            )
        if self._is_worthwhile(first):
            self._deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
            self.path = self.path.with_name(f"{self.path.name}.gz")
        self._file = self.path.open("xb", buffering=0)

    def _is_worthwhile(self, first: bytes) -> bool:
        """Whether to compress: what was asked for, else what the first block shows."""
        if self._compression == "auto":
            return len(isal_zlib.compress(first, _LEVEL)) < WORTHWHILE * len(first)
        return self._compression == "gzip"

    def _emit(self, data: bytes) -> None:
        """Write all of it: a raw file may take less than it is given."""
        if self._deflate:
            self._digest.update(data)
        self._size += len(data)
        view = memoryview(data)
        while view and self._file:
            view = view[self._file.write(view) :]
