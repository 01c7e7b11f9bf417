"""A backup against its manifest, without a server: every file, then every byte of the archive."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import checks, manifest, packing, streams, threads, toc
from .checks import Check, Verification
from .errors import VerificationError
from .manifest import FilePart, Manifest, TablePart
from .progress import Progress
from .streams import DataFacts, FileFacts
from .toc import Toc

_OURS = {manifest.FILE, manifest.SUMS, manifest.VERIFICATION}


@dataclass(frozen=True)
class Result:
    """What a verification found; `problems` by the depth they were found at.

    `unjudged` says why the table of contents could not be compared with the manifest.
    """

    manifest: Manifest | None
    manifest_sha256: str | None
    problems: dict[int, tuple[str, ...]]
    unjudged: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong at any depth."""
        return not any(self.problems.values())

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Every problem, the shallow ones first, each said once."""
        listed = [text for depth in sorted(self.problems) for text in self.problems[depth]]
        return tuple(dict.fromkeys(listed))

    def checks(self) -> tuple[Check, ...]:
        """The results as they are recorded."""
        now = datetime.now(UTC)
        return tuple(
            Check(depth=depth, outcome="failed", time=now, problems=found[:20])
            if found
            else self._unfailed(depth, now)
            for depth, found in sorted(self.problems.items())
        )

    def _unfailed(self, depth: int, now: datetime) -> Check:
        if depth == checks.ARCHIVE and self.unjudged:
            return Check(depth=depth, outcome="cannot judge", time=now, problems=(self.unjudged,))
        return Check(depth=depth, outcome="passed", time=now)


def verify(directory: Path, name: str, jobs: int, progress: Progress) -> Result:
    """Check depths 1 and 2 of the backup in `directory`, which must be the one called `name`.

    Never raises for what is wrong with the backup: that is the result.
    """
    try:
        found, data = manifest.read(directory)
    except VerificationError as error:
        return Result(None, None, {checks.FILES: (error.what,)})
    digest = hashlib.sha256(data).hexdigest()
    files = [*_check_identity(found, name), *_check_sums(directory, found, digest)]
    files += _check_listing(directory, found)
    contents, flaw = _contents(directory, found)
    archive = [] if contents is None else [*_check_toc(contents, found)]
    if flaw and not found.toc_unknown:
        archive.append(flaw)
    archive += _check_large_objects(found)
    progress.begin("verify", len(found.tables), found.totals.file_bytes)
    wrong_files, wrong_data = _read_files(directory, found, jobs, progress)
    problems = {
        checks.FILES: (*files, *wrong_files),
        checks.ARCHIVE: (*archive, *wrong_data),
    }
    return Result(found, digest, problems, unjudged=flaw if found.toc_unknown else None)


def _check_identity(found: Manifest, name: str) -> Iterable[str]:
    if found.backup.name != name:
        yield f"the manifest is of {found.backup.name!r}, not of {name!r}"
    totals = found.totals
    summed = (
        len(found.tables),
        sum(table.rows for table in found.tables),
        len(found.files),
        sum(part.size for part in found.files),
    )
    if summed != (totals.tables, totals.rows, totals.files, totals.file_bytes):
        yield "the manifest's totals are not the sums of its parts"


def _check_sums(directory: Path, found: Manifest, digest: str) -> Iterable[str]:
    """SHA256SUMS must say what the manifest says, and what the manifest itself is."""
    expected = found.sums(digest).encode()
    try:
        if streams.read_bounded(directory / manifest.SUMS, manifest.LIMIT) != expected:
            yield f"{manifest.SUMS} and {manifest.FILE} contradict each other"
    except VerificationError as error:
        yield error.what
    try:
        record = checks.read(directory)
        if record and record.manifest_sha256 != digest:
            yield f"{manifest.FILE} is not the one that was verified before"
    except VerificationError as error:
        yield error.what


def _check_listing(directory: Path, found: Manifest) -> Iterable[str]:
    """Nothing may be missing, and nothing may be there that the manifest does not name."""
    named = {part.path for part in found.files}
    if len(named) != len(found.files) or named & _OURS:
        yield "the manifest names a file twice, or one that is not the archive's"
    try:
        entries = list(os.scandir(directory))
    except OSError as error:
        yield f"the directory cannot be read ({error.strerror})"
        return
    for entry in entries:
        if entry.name not in named | _OURS:
            yield f"{entry.name!r} does not belong to the backup"
        elif not entry.is_file(follow_symlinks=False):
            yield f"{entry.name} is not a plain file"
    for path in sorted(named):
        if not os.path.lexists(directory / path):
            yield f"{path} is missing"


def _contents(directory: Path, found: Manifest) -> tuple[Toc | None, str | None]:
    """The archive's table of contents, or why it cannot be read."""
    # What is larger than it was cannot be right, and need not be held in memory to say so.
    size = next((part.size for part in found.files if part.path == "toc.dat"), 0)
    try:
        data = streams.read_bounded(directory / "toc.dat", min(size, toc.LIMIT))
        return toc.parse(data), None
    except VerificationError as error:
        return None, error.what


def _check_toc(contents: Toc, found: Manifest) -> Iterable[str]:
    """The table of contents must hold the manifest's tables and sequences, no more, no less."""
    try:
        sequences = Counter(tuple(row) for row in toc.sequence_values(contents))
    except VerificationError as error:
        yield error.what
        return
    if _tables_differ(contents, found):
        yield "toc.dat and the manifest do not name the same tables and files"
    if sequences != Counter((s.schema_, s.name, s.value, s.is_called) for s in found.sequences):
        yield "toc.dat and the manifest do not give the sequences the same values"


def _check_large_objects(found: Manifest) -> Iterable[str]:
    blobs = sum(part.path.startswith("blob_") for part in found.files)
    if blobs != found.large_objects:
        yield f"the archive holds {blobs:,} large objects instead of {found.large_objects:,}"


def _tables_differ(contents: Toc, found: Manifest) -> bool:
    """Names are only compared where Python can read the archive's encoding."""
    decode, named = toc.decoder(contents), toc.codec(contents) is not None
    actual = Counter(
        (e.oid, e.filename, *((decode(e.namespace), decode(e.tag)) if named else ()))
        for e in toc.table_data(contents)
    )
    expected = Counter(
        (str(t.oid), packing.bare(t.file), *((t.schema_, t.name) if named else ()))
        for t in found.tables
    )
    return actual != expected


def _read_files(
    directory: Path, found: Manifest, jobs: int, progress: Progress
) -> tuple[list[str], list[str]]:
    """Every file once: its size and hash, and the table's rows and stream hash where it is data."""
    tables = {table.file: table for table in found.tables}
    wrong_files: list[str] = []
    wrong_data: list[str] = []
    done = size = 0
    parts = [part for part in found.files if os.path.lexists(directory / part.path)]

    def read(part: FilePart) -> FileFacts | DataFacts | str:
        return _facts(directory / part.path, tables.get(part.path))

    with threads.mapped(read, parts, jobs) as results:
        for part, facts in zip(parts, results, strict=True):
            table = tables.get(part.path)
            size += part.size
            done += table is not None
            progress.reach(done, size)
            _judge(part, table, facts, wrong_files.append, wrong_data.append)
    read_tables = {tables[part.path].oid for part in parts if part.path in tables}
    wrong_data += [
        f"table {table.qualified} has no data file"
        for table in found.tables
        if table.oid not in read_tables
    ]
    return wrong_files, wrong_data


def _facts(path: Path, table: TablePart | None) -> FileFacts | DataFacts | str:
    """What a file holds; a sentence where it cannot be read as what it should be."""
    try:
        if table:
            read = streams.binary_data if table.format == "binary" else streams.table_data
            return read(path)
        return streams.read_to_end(path) if packing.is_packed(path) else streams.file_facts(path)
    except VerificationError as error:
        return error.what


def _judge(
    part: FilePart,
    table: TablePart | None,
    facts: FileFacts | DataFacts | str,
    wrong_file: Callable[[str], None],
    wrong_data: Callable[[str], None],
) -> None:
    if isinstance(facts, str):
        wrong_file(facts)
        wrong_data(facts)
        return
    file = facts.file if isinstance(facts, DataFacts) else facts
    if file.size != part.size:
        wrong_file(f"{part.path} has {file.size:,} bytes instead of {part.size:,}")
    elif file.sha256 != part.sha256:
        wrong_file(f"{part.path} was changed: its SHA-256 is another")
    if table and isinstance(facts, DataFacts):
        if facts.rows not in {None, table.rows}:
            wrong_data(f"{table.qualified} has {facts.rows:,} rows instead of {table.rows:,}")
        if (facts.bytes, facts.sha256) != (table.bytes, table.sha256):
            wrong_data(f"the rows of {table.qualified} are not those that were dumped")


def record(directory: Path, result: Result) -> Verification | None:
    """Write the result to verification.json; None if the manifest is too damaged to speak of.

    What was accepted or drilled before is kept. Raises OSError.
    """
    if result.manifest_sha256 is None:
        return None
    fresh = Verification(manifest_sha256=result.manifest_sha256)
    with checks.exclusive(directory):
        try:
            earlier = checks.read(directory) or fresh
        except VerificationError:
            return None
        # A record of another manifest stays one: it is what shows that this one was changed.
        new = earlier.with_checks(*result.checks())
        checks.write(directory, new)
    return new
