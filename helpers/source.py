"""The backup that a restore reads: verified anew, not suspect, and what of it is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import properties, selection, streams, toc
from . import verify as verifying
from .catalog import major
from .errors import NotFoundError, RefusedError, VerificationError
from .listing import load
from .manifest import GLOBALS, Manifest, TablePart
from .names import parse_name
from .progress import Progress
from .properties import Properties
from .toc import Entry, Toc

_NAMES = re.compile(r'"(?:[^"]|"")+"|\w+')


@dataclass(frozen=True)
class Source:
    """A backup that may be restored; `chosen` are the entries of one table, None for all."""

    path: Path
    manifest: Manifest
    contents: Toc
    properties: Properties
    chosen: tuple[Entry, ...] | None

    @property
    def name(self) -> str:
        """The backup's name."""
        return self.manifest.backup.name

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What of the archive is restored."""
        return self.contents.entries if self.chosen is None else self.chosen

    @property
    def tables(self) -> list[TablePart]:
        """The tables whose rows are restored, but for those that extensions fill themselves."""
        oids = {int(entry.oid or 0) for entry in self.entries if entry.desc == "TABLE"}
        return [table for table in self.manifest.tables if table.oid in oids]

    @property
    def major(self) -> int:
        """The major version of the server that it was made of."""
        return major(self.manifest.database.server_version)

    @property
    def archive_major(self) -> int:
        """The major version of the pg_dump that wrote it; no older pg_restore can be relied on."""
        return major(self.manifest.clients.get("pg_dump", ""))

    def owners(self) -> set[str]:
        """The roles that own what is restored."""
        decode = toc.decoder(self.contents)
        return {decode(entry.owner) for entry in self.entries if entry.owner}

    def roles(self, *, owners: bool) -> set[str]:
        """The roles that must be there: owners and grantees if wanted, subjects of policies."""
        kinds = {"POLICY", *(("ACL", "DEFAULT ACL") if owners else ())}
        named = self._named(entry for entry in self.entries if entry.desc in kinds)
        if not owners:
            return named
        if self.chosen is not None:
            return named | self.owners()
        return set(self.manifest.roles) | self.owners()

    def _named(self, entries: Iterable[Entry]) -> set[str]:
        """Which of the backup's roles the definitions of these entries mention."""
        decode = toc.decoder(self.contents)
        words = {
            word[1:-1].replace('""', '"') if word.startswith('"') else word
            for entry in entries
            for word in _NAMES.findall(decode(entry.definition))
        }
        return words & set(self.manifest.roles)

    def globals_sql(self) -> str:
        """The text of globals.sql; NotFoundError if the backup has none."""
        if GLOBALS not in {part.path for part in self.manifest.files}:
            raise NotFoundError(
                f"{self.name} has no {GLOBALS}: the role that made it could not read the roles.",
                "Make the roles by hand; manifest.json says which the archive needs.",
            )
        return streams.read_bounded(self.path / GLOBALS, toc.LIMIT).decode(errors="replace")


def read(path: Path, only_table: str | None, jobs: int, progress: Progress) -> Source:
    """The backup at `path`, after its last byte was read.

    Raises VerificationError for a damaged one, RefusedError for a suspect one, NotFoundError for
    what is no backup of ours, ConfigError for a table that it does not hold.
    """
    name = parse_name(path.name)
    if name is None:
        raise NotFoundError(
            f"{path} is not a backup of ours.",
            "Name one that list shows; restore any other archive with pg_restore itself.",
        )
    backup = load(path, name)
    if backup.suspect:
        raise RefusedError(
            f"{name} is suspect: {'; '.join(backup.suspect)}.",
            "Look at it; if the loss was meant, accept it first, else restore an older one.",
        )
    result = verifying.verify(path, path.name, jobs, progress)
    with suppress(OSError):  # it is read-only, perhaps: the result is what counts
        verifying.record(path, result)
    if not result.passed or result.manifest is None:
        raise VerificationError(
            f"{name} is damaged: {'; '.join(result.all_problems[:5])}.",
            "Restore another one; list shows what there is.",
        )
    contents = toc.parse(streams.read_bounded(path / "toc.dat", toc.LIMIT))
    chosen = None
    if only_table is not None:
        chosen = selection.of_table(contents, selection.find_table(contents, only_table))
    return Source(path, result.manifest, contents, properties.read(contents), chosen)
