"""One JSON line for each run: in a file, and in the system's log where there is one."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_LONGEST: Final = 1 << 20
"""Bytes from which a file that nobody rotates is set aside as `.1`."""

_TAIL: Final = 256 << 10
_SOCKET: Final = "/dev/log"
_ERROR, _INFO = 27, 30
"""Priorities: facility daemon with severity error or informational (RFC 5424, 6.2.1)."""


def default(store: Path, environment: str) -> Path:
    """The file of an environment that names none."""
    return store / f".runs-{environment}.jsonl"


def line(record: Mapping[str, object]) -> str:
    """A record as one line; whatever it holds, no line break and no control character."""
    return json.dumps(record, ensure_ascii=True, default=str)


def append(path: Path, record: Mapping[str, object]) -> None:
    """Add a record; raises OSError. The file is its owner's alone."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        # What a run that was killed left of its line shall not spoil this one.
        broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * broken + f"{line(record)}\n".encode())
    finally:
        os.close(descriptor)
    if size > _LONGEST:
        with suppress(OSError):  # in a directory of logrotate's nobody else may
            path.replace(_older(path))


def last(path: Path, verb: str, environment: str) -> dict[str, Any] | None:
    """The newest record of a verb in an environment, also if the file was just rotated."""
    for place in (path, _older(path)):
        for text in reversed(_tail(place)):
            try:
                found = json.loads(text)
            except ValueError:
                continue
            if isinstance(found, dict) and (found.get("verb"), found.get("environment")) == (
                verb,
                environment,
            ):
                return found
    return None


def to_system(record: Mapping[str, object], *, failed: bool) -> None:
    """Hand a record to syslog or the journal, which never makes us wait; raises OSError."""
    if not Path(_SOCKET).exists():
        return
    message = f"<{_ERROR if failed else _INFO}>pgbackup[{os.getpid()}]: {line(record)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.setblocking(False)
        log.connect(_SOCKET)
        log.send(message.encode())


def _older(path: Path) -> Path:
    """Where logrotate puts the file before this one."""
    return path.with_name(f"{path.name}.1")


def _tail(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().splitlines()
    except OSError:
        return []
