"""Archives and dumps made elsewhere, without a manifest: read to their end."""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import clients, loops, manifest, packing, processes, streams, tarballs, toc
from .errors import ConfigError, VerificationError

_DUMP = re.compile(
    rb"^-- PostgreSQL database dump complete\r?\n--\r?\n\r?\n(\\unrestrict \w+\r?\n\r?\n)?\Z", re.M
)
_CLUSTER = re.compile(rb"^-- PostgreSQL database cluster dump complete\r?\n--\r?\n\r?\n\Z", re.M)
"""The last words of pg_dump and of pg_dumpall; between two of a cluster's databases the former
stand, too."""

_ENDS = 4096
"""Bytes at either end of a plain dump in which its first and last words are looked for."""

_BLOB_LINE = 64
"""Bytes that a line of a list of large objects takes at most (pg_backup_directory.c: EndLO)."""

_LOOP_SECONDS = 5.0
"""CPU time after which pg_restore, reading and writing nothing, is looping: it does so on bytes
behind the end of compressed data (compress_gzip.c: ReadDataFromArchiveGzip)."""

_CUSTOM = b"PGDMP"
_GZIP = b"\x1f\x8b"
_COMPRESSED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\4\x22M\x18": "lz4",
}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NOT_FOR_US = re.compile(r"unsupported version \(1\.\d+\)|not support compression")
"""What pg_restore says of archives of newer clients, or of clients built with more compression."""


def is_foreign(path: Path) -> bool:
    """Whether `path` is anything but a backup of ours."""
    return not (path.is_dir() and os.path.lexists(path / manifest.FILE))


def read_through(path: Path, pg_bin: Path | None) -> str:
    """Read an archive (custom, directory, tar) or a plain dump (.sql, .sql.gz) to its end.

    The answer says what it is. Raises VerificationError if it is cut off or damaged, ConfigError
    if nothing at hand can read it.
    """
    if path.is_dir():
        if not os.path.lexists(path / "toc.dat"):
            raise _bad(path, "is a directory without toc.dat and without manifest.json")
        _read_directory(path)
        return _restore_to_nowhere(path, "directory", pg_bin)
    head, tail = streams.ends(path, _ENDS, gzipped=False)
    if head.startswith(_CUSTOM):
        return _restore_to_nowhere(path, "custom", pg_bin)
    if tarballs.is_tar(head):
        # pg_restore does not read a tar archive to its end, and loops on some that are cut off.
        tarballs.check(path)
        return _restore_to_nowhere(path, "tar", pg_bin)
    if head.startswith(_GZIP):
        head, tail = streams.ends(path, _ENDS, gzipped=True)
    _check_plain(path, head, tail)
    return "plain dump"


def _check_plain(path: Path, head: bytes, tail: bytes) -> None:
    packed = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
    if head.startswith(_CUSTOM) or tarballs.is_tar(head):
        packed = "gzip, with an archive inside"
    if packed:
        raise ConfigError(
            f"{path} is compressed ({packed}).", "Decompress it, then verify what comes out."
        )
    cluster = b"-- PostgreSQL database cluster dump" in head
    end = (_CLUSTER if cluster else _DUMP).search(tail)
    if not end or (not cluster and b"\n\\restrict " in head and not end[1]):
        raise _bad(path, "lacks the mark that pg_dump writes at the end of a plain dump")


def _read_directory(path: Path) -> None:
    """What pg_restore passes over: files that are empty, cut off at an end, or not in the archive.

    It takes an empty data file for a table without rows (pg_backup_directory.c), and zstd's data
    that is cut off for whole. lz4 is left to it.
    """
    tables = _table_files(path)
    for file in sorted(path.iterdir()):
        if packing.bare(file.name) in tables:
            streams.table_data(file, packing.WIDEST)
        elif file.name.endswith((".dat", ".gz", ".zst", ".toc")):
            streams.read_to_end(file, packing.WIDEST)
    _check_large_objects(path)


def _table_files(path: Path) -> set[str]:
    """The archive's files that hold rows, compressed or not; none of a version not known here."""
    try:
        contents = toc.parse(streams.read_bounded(path / "toc.dat", toc.LIMIT))
    except toc.UnknownArchiveVersion:
        return set()
    for entry in contents.entries:
        if entry.filename and not _PLAIN_NAME.fullmatch(entry.filename):
            raise _bad(path, f"names a file that is not in it: {entry.filename!r}")
    return {e.filename for e in contents.entries if e.filename and e.copy_statement}


def _check_large_objects(path: Path) -> None:
    """The lists of large objects must name every large object's file, and no other."""
    there = {
        re.sub(rb"\.(gz|lz4|zst)\Z", b"", os.fsencode(file.name)) + b"\n"
        for file in path.glob("blob_*")
    }
    # A line holds an oid and a name with it: what is longer than that cannot be right.
    listed = [
        line.rpartition(b" ")[2]
        for file in sorted(path.glob("blobs*.toc"))
        for line in streams.read_bounded(file, _BLOB_LINE * len(there)).splitlines(keepends=True)
    ]
    if set(listed) != there:
        raise _bad(path, "has not the large objects that it lists")


def _restore_to_nowhere(path: Path, kind: str, pg_bin: Path | None) -> str:
    """Let pg_restore write the archive as SQL to /dev/null: it decompresses every byte."""
    client = clients.newest(pg_bin)
    if client is None:
        raise ConfigError(
            "No pg_restore is installed here.", "Install the postgresql-client package."
        )
    argv = [client.tool("pg_restore"), f"--format={kind}", "--file=/dev/null", str(path)]
    group = processes.Group()
    with loops.guard(group, _LOOP_SECONDS) as looped:
        done = processes.run(argv, group=group)
    if looped.is_set():
        raise _bad(path, f"sends pg_restore {client.version} into a loop without an end")
    lines = done.errors.splitlines()
    said = next(iter([line for line in lines if "error:" in line] or lines), "it gave no reason")
    if done.returncode and _NOT_FOR_US.search(said):
        raise ConfigError(
            f"pg_restore {client.version} cannot read {path}: {said}",
            "Install newer clients, or such with this compression, or name them in BACKUP_PG_BIN.",
        )
    if done.returncode:
        raise _bad(path, f"cannot be read to its end by pg_restore {client.version}: {said}")
    return f"{kind} archive"


def _bad(path: Path, how: str) -> VerificationError:
    return VerificationError(f"{path} {how}.", "Do not restore from it; look for another copy.")
