"""Archives and dumps made elsewhere, without a manifest: read to their end."""

from __future__ import annotations

import tarfile
from pathlib import Path

from . import clients, manifest, processes, streams
from .errors import ConfigError, VerificationError

_TRAILERS = (b"PostgreSQL database dump complete", b"PostgreSQL database cluster dump complete")
_TRAILER_WITHIN = 4096
"""Bytes from the end in which the last comment stands: newer ones write \\unrestrict after it."""
_CUSTOM = b"PGDMP"
_GZIP = b"\x1f\x8b"


def is_foreign(path: Path) -> bool:
    """Whether `path` is anything but a backup of ours."""
    return not (path.is_dir() and (path / manifest.FILE).exists())


def read_through(path: Path, pg_bin: Path | None) -> str:
    """Read an archive (custom, directory, tar) or a plain dump (.sql, .sql.gz) to its end.

    The answer says what it is. Raises VerificationError if it is cut off or damaged, ConfigError
    if no pg_restore is at hand to read it with.
    """
    if path.is_dir():
        if not (path / "toc.dat").exists():
            raise _bad(path, "is a directory without toc.dat and without manifest.json")
        return _restore_to_nowhere(path, "directory", pg_bin)
    kind = _kind(path)
    if kind != "plain":
        return _restore_to_nowhere(path, kind, pg_bin)
    end = streams.last_bytes(path, _TRAILER_WITHIN)
    if not any(trailer in end for trailer in _TRAILERS):
        raise _bad(path, "lacks the mark that pg_dump writes at the end of a plain dump")
    return "plain dump"


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(len(_CUSTOM))
        if head == _CUSTOM:
            return "custom"
        return "tar" if not head.startswith(_GZIP) and tarfile.is_tarfile(path) else "plain"
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})") from error


def _restore_to_nowhere(path: Path, kind: str, pg_bin: Path | None) -> str:
    """Let pg_restore write the archive as SQL to /dev/null: it decompresses every byte."""
    client = clients.newest(pg_bin)
    if client is None:
        raise ConfigError(
            "No pg_restore is installed here.", "Install the postgresql-client package."
        )
    argv = [client.tool("pg_restore"), f"--format={kind}", "--file=/dev/null", str(path)]
    done = processes.run(argv)
    if done.returncode:
        said = next(iter(done.errors.splitlines()), f"exit code {done.returncode}")
        raise _bad(path, f"cannot be read to its end by pg_restore {client.version}: {said}")
    return f"{kind} archive"


def _bad(path: Path, how: str) -> VerificationError:
    return VerificationError(f"{path} {how}.", "Do not restore from it; look for another copy.")
