"""A tar file, whole or not: every member's header and room, and the zeros behind the last one."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from . import packing, streams
from .errors import VerificationError

_BLOCK = tarfile.BLOCKSIZE
_END = 2 * _BLOCK
"""Bytes of zeros that end a tar file; some programs write more."""


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with `head` is a tar file."""
    return head[257:262] == b"ustar"


def check(path: Path) -> None:
    """Raise VerificationError unless the file is whole; what is in its members is not judged."""
    with streams.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        position = 0
        while any(block := file.read(_BLOCK)):
            try:
                member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise _bad(path, f"is damaged at byte {position:,} ({error})") from error
            room = -(-member.size // _BLOCK) * _BLOCK
            position += _BLOCK + room
            if room < 0 or position + _END > size:
                raise _bad(path, f"is cut off in or behind its member {member.name!r}")
            file.seek(position)
        file.seek(position)
        if size - position < _END:
            raise _bad(path, "is cut off")
        while block := file.read(packing.BLOCK):
            if any(block):
                raise _bad(path, f"goes on behind its end, at byte {position:,}")


def _bad(path: Path, how: str) -> VerificationError:
    return VerificationError(f"{path} {how}.", "Do not restore from it; look for another copy.")
