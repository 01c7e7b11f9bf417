"""A drill: restore a backup where nothing else is, and compare everything with its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import (
    abilities,
    checks,
    clients,
    equality,
    places,
    postgres,
    rehearsal,
    rows,
    streams,
    toc,
    verify,
)
from .catalog import major
from .checks import Check, Outcome, Recovery, Verification
from .clients import Client
from .conninfo import Connection
from .errors import BackupError, DatabaseError, RefusedError, ToolError, VerificationError
from .files import private_files
from .findings import Findings
from .manifest import Manifest
from .places import Place, Subject
from .postgres import Session
from .progress import Progress
from .rehearsal import Restored

_LACKING = re.compile(
    r"extension \S+ is not available|could not open extension control file|unsupported XML feature"
    r"|could not access file|ICU is not supported|could not create locale|collation .* does not"
    r"|no equivalent encoding|(?:lz4|zstd|LZ4|ZSTD) is not supported|compression method"
    r"|security label provider|access method .* does not exist|could not load library"
    r"|does not support LZ4|language .* does not exist|not supported by this (?:build|platform)"
)
"""What a server says that lacks a feature, which says nothing of the backup."""

_BY_ORDER = re.compile(r"violates|constraint|could not create unique index", re.IGNORECASE)
"""What may fail because a collation orders or compares text otherwise."""

_DEATH = re.compile(r"killed by signal")
_KEPT = 20


class CannotJudgeError(RefusedError):
    """The place to drill at lacks something that the backup needs."""


@dataclass(frozen=True)
class Wish:
    """How to drill: on the server at `url`, else on one of its own in `directory`."""

    jobs: int
    url: Connection | None = None
    directory: Path | None = None
    pg_bin: Path | None = None


@dataclass(frozen=True)
class Result:
    """What a drill found; `recovery` is None where nothing could be restored."""

    outcome: Outcome
    findings: Findings
    recovery: Recovery | None
    manifest: Manifest | None
    manifest_sha256: str | None

    def check(self) -> Check:
        """The result as it is recorded."""
        said = self.findings.problems or self.findings.unjudged
        return Check(
            depth=checks.DRILL,
            outcome=self.outcome,
            time=datetime.now(UTC),
            problems=said[:_KEPT],
            recovery=self.recovery,
        )


@private_files()
def run(directory: Path, wish: Wish, progress: Progress) -> tuple[verify.Result, Result]:
    """Verify the backup in `directory`, restore it, compare; what is wrong with it is the result.

    Raises StorageError, DatabaseError, ConfigError or ToolError where the drill itself fails.
    """
    read = verify.verify(directory, directory.name, wish.jobs, progress)
    if not read.passed or read.manifest is None:
        findings = Findings(read.all_problems)
        return read, Result("failed", findings, None, read.manifest, read.manifest_sha256)
    found = read.manifest
    recoveries: list[Recovery] = []
    try:
        contents = toc.parse(streams.read_bounded(directory / "toc.dat", toc.LIMIT))
        subject = Subject(directory, found, contents, wish.jobs)
        findings = _drill(subject, wish, progress, recoveries)
    except CannotJudgeError as error:
        findings = Findings(unjudged=(error.what,))
    except VerificationError as error:
        findings = Findings((error.what,))
    outcome: Outcome = "passed"
    if findings.problems or findings.unjudged:
        outcome = "failed" if findings.problems else "cannot judge"
    recovery = recoveries[0] if recoveries else None
    return read, Result(outcome, findings, recovery, found, read.manifest_sha256)


def record(directory: Path, read: verify.Result, result: Result) -> None:
    """Keep the result beside the backup, with that of the reading before; raises OSError."""
    if result.manifest_sha256 is None:
        return
    verify.record(directory, read)
    with checks.exclusive(directory):
        try:
            earlier = checks.read(directory)
        except VerificationError:
            return
        fresh = earlier or Verification(manifest_sha256=result.manifest_sha256)
        checks.write(directory, fresh.with_checks(result.check()))


def _drill(
    subject: Subject, wish: Wish, progress: Progress, recoveries: list[Recovery]
) -> Findings:
    found = subject.found
    with _place(subject, wish) as place:
        for note in place.notes:
            progress.note(note)
        _check_place(place, found)
        restored = _restored(subject, place, _reader(subject, place, wish), progress)
        with postgres.connect(_quiet(place)) as session:
            phases = dict(restored.phases)
            seconds = round(sum(phases.values()), 3)
            version = session.facts().version
            recoveries.append(Recovery(server_version=version, seconds=seconds, phases=phases))
            notes = Findings(notes=(*place.notes, *restored.notes))
            return notes + compare(session, subject, place, restored.replaced, progress)


def compare(
    session: Session,
    subject: Subject,
    place: Place,
    replaced: frozenset[str],
    progress: Progress,
) -> Findings:
    """Everything that a manifest and an archive say, against what was restored of them.

    The collations `replaced` are known to be others.
    """
    found = subject.found
    findings = rows.compare(session, place, subject, progress)
    progress.begin("compare definitions", 0, 0)
    return (
        findings
        + equality.columns(session, found)
        + equality.sequences(session, found)
        + equality.extensions(session, found)
        + equality.vectors(session, found, place)
        + equality.large_objects(session, subject)
        + equality.validity(session, subject.contents)
        + equality.schema(session, place, subject, replaced)
    )


@contextmanager
def _place(subject: Subject, wish: Wish) -> Iterator[Place]:
    if wish.url:
        with places.at_url(wish.url.parameters, subject, wish.pg_bin) as place:
            yield place
        return
    wheel = clients.wheel_bin()
    ours = clients.find(0, tls=False, pg_bin=wheel).major if wheel else None
    header = subject.contents.header
    needed = max(major(str(v)) for v in (header.server_version, header.dump_version))
    if ours is not None and ours < needed:
        raise CannotJudgeError(
            f"the drill's own server is PostgreSQL {ours}, and the backup needs {needed}",
            "Name a newer server in BACKUP_DRILL_URL.",
        )
    with places.own_server(wish.directory, subject) as place:
        yield place


def _check_place(place: Place, found: Manifest) -> None:
    """Everything that the server lacks, at once; CannotJudgeError."""
    lacking = []
    source = major(found.database.server_version)
    if place.server_major < source:
        lacking.append(
            f"the server is PostgreSQL {place.server_major}, older than the source ({source})"
        )
    with postgres.connect(place.admin) as session:
        known = {r[0] for r in session.query("SELECT name FROM pg_catalog.pg_available_extensions")}
    lacking += [
        f"the server has no extension {one.name}"
        for one in found.extensions
        if one.name not in known
    ]
    if lacking:
        raise CannotJudgeError("; ".join(lacking), "Name a server that has it in BACKUP_DRILL_URL.")


def _reader(subject: Subject, place: Place, wish: Wish) -> Client:
    """A client whose pg_restore reads the archive; CannotJudgeError if there is none."""
    needed = major(str(subject.contents.header.dump_version))
    others = [client for client in clients.at_hand(wish.pg_bin) if client.major >= needed]
    found = abilities.reader(place.client, others, zstd=subject.found.zstd)
    if not found:
        raise CannotJudgeError(
            "the archive is compressed by zstd, which no pg_restore at hand can read (name clients "
            f"of version {needed} or newer that can in BACKUP_PG_BIN)",
            "Install clients that were built with zstd, as Debian 13's are.",
        )
    return found


def _restored(subject: Subject, place: Place, client: Client, progress: Progress) -> Restored:
    """Restore; an error that the backup is not to blame for is no verdict on it."""
    try:
        return rehearsal.restore(subject, place, client, progress)
    except (ToolError, DatabaseError) as error:
        if _is_about_the_place(error, place):
            raise CannotJudgeError(error.what.rstrip("."), error.do) from error
        if isinstance(error, DatabaseError) or _DEATH.search(error.what):
            raise
        raise VerificationError(
            f"it cannot be restored: {error.what.rstrip('.')}", "Do not rely on this backup."
        ) from error


def _is_about_the_place(error: BackupError, place: Place) -> bool:
    if _LACKING.search(error.what) or (place.replaced and _BY_ORDER.search(error.what)):
        return True
    return isinstance(error, DatabaseError) and "refuses" in error.what


def _quiet(place: Place) -> dict[str, str]:
    """How to look at what was restored without waking its event triggers, which exist from 17."""
    given = dict(place.admin)
    if place.own and place.server_major >= 17:
        given["options"] = "-c event_triggers=off"
    return given
