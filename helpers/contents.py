"""What an archive holds: by its table of contents, or by pg_restore where that is not known."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import processes, toc
from .clients import Client
from .errors import ToolError, VerificationError
from .toc import Toc

_DATA = re.compile(r"^(\d+); \d+ (\d+) TABLE DATA ", re.MULTILINE)
"""A line of pg_restore --list: the entry's number, and the oid of its table."""

_SEQUENCE = re.compile(r"^\d+; \d+ \d+ SEQUENCE SET .*$", re.MULTILINE)
_NAME = r'("(?:[^"]|"")+"|[^".]+)'
_SETVAL = re.compile(
    r"^SELECT pg_catalog\.setval\('((?:[^']|'')*)', (-?\d+), (true|false)\);$", re.MULTILINE
)
_QUALIFIED = re.compile(rf"{_NAME}\.{_NAME}")


@dataclass(frozen=True)
class Contents:
    """Each table's data file by its oid, without .gz; the sequences' schemas, names, values and
    is_called; the owners. `unknown` says why toc.dat was only listed, None if it was read here.
    """

    files: Mapping[int, str]
    sequences: tuple[tuple[str, str, int, bool], ...]
    owners: frozenset[str]
    unknown: str | None = None


def read(directory: Path, client: Client) -> Contents:
    """What the archive that this client wrote to `directory` holds; ToolError if it cannot say."""
    try:
        found = toc.parse((directory / "toc.dat").read_bytes())
        return _parsed(found)
    except VerificationError as error:
        return _listed(directory, client, error.what)


def _parsed(found: Toc) -> Contents:
    return Contents(
        {int(entry.oid or 0): str(entry.filename) for entry in toc.table_data(found)},
        tuple(toc.sequence_values(found)),
        frozenset(toc.owners(found)),
    )


def _listed(directory: Path, client: Client, why: str) -> Contents:
    """By the words of pg_restore; a data file has its entry's number (pg_backup_directory.c)."""
    lines = _restore(client, directory, "--list")
    files = {int(oid): f"{number}.dat" for number, oid in _DATA.findall(lines)}
    wanted = "\n".join(_SEQUENCE.findall(lines))
    sequences: tuple[tuple[str, str, int, bool], ...] = ()
    if wanted:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as chosen:
            chosen.write(wanted + "\n")
            chosen.flush()
            script = _restore(client, directory, "--file=-", f"--use-list={chosen.name}")
        sequences = tuple(_values(script))
    return Contents(files, sequences, frozenset(), why)


def _values(script: str) -> Iterator[tuple[str, str, int, bool]]:
    for literal, value, called in _SETVAL.findall(script):
        name = _QUALIFIED.fullmatch(literal.replace("''", "'"))
        if name:
            yield _plain(name[1]), _plain(name[2]), int(value), called == "true"


def _plain(identifier: str) -> str:
    return re.sub('^"|"$', "", identifier).replace('""', '"')


def _restore(client: Client, directory: Path, *options: str) -> str:
    done = processes.run([client.tool("pg_restore"), *options, str(directory)])
    if done.returncode:
        raise ToolError(
            f"pg_restore {client.version} cannot read what pg_dump wrote: {done.errors.strip()}",
            "Check that both are of one installation, or name another in BACKUP_PG_BIN.",
        )
    return done.output
