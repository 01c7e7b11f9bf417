"""The manifest: what was in the database, in the very snapshot that was dumped."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError
from pydantic_core import from_json

from . import packing, streams
from .errors import VerificationError

SCHEMA_VERSION = 1
FILE = "manifest.json"
SUMS = "SHA256SUMS"
VERIFICATION = "verification.json"
RESTORE = "RESTORE.md"
GLOBALS = "globals.sql"
LIMIT = 128 << 20
"""A manifest larger than this many bytes is refused unread: 100,000 tables need some 60 MB."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


def few(found: object) -> object:
    """Refuse a mapping with more names than one of ours has: each could be an error of its own."""
    if isinstance(found, dict) and len(found) > 10_000:
        raise ValueError("it names far too much")
    return found


class Model(BaseModel):
    """Frozen data; what a later version adds is passed over, what is missing is an error."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)


class BackupPart(Model):
    """Who made the backup and when; `seconds` is how long it took until it was verified."""

    name: str
    environment: str
    started: datetime
    finished: datetime
    seconds: float
    toolkit_version: str
    host: str


class DatabasePart(Model):
    """The source; `size` in bytes on the server, indexes included.

    `settings` are those of the server that the text of its rows depends on.
    """

    name: str
    server_version: str
    encoding: str
    collation: str
    size: Count
    system_identifier: str | None
    settings: Annotated[dict[str, str], BeforeValidator(few)] = {}


class ColumnPart(Model):
    """A column and its type as PostgreSQL writes it."""

    name: str
    type: str
    generated: bool = False


class TablePart(Model):
    """A table's data: `bytes` and `sha256` are of the uncompressed COPY stream.

    `oid` finds its entry in the archive's table of contents; `partition_of` is the root of a
    partition's tree.
    """

    schema_: str = Field(alias="schema")
    name: str
    oid: Count
    rows: Count
    columns: tuple[ColumnPart, ...]
    format: Literal["text", "binary"]
    bytes: Count
    sha256: Sha256
    file: FileName
    partition_of: str | None = None

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @property
    def qualified(self) -> str:
        """schema.name, for people."""
        return f"{self.schema_}.{self.name}"


class SequencePart(Model):
    """A sequence's value as the archive restores it."""

    schema_: str = Field(alias="schema")
    name: str
    value: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    is_called: bool

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class ExtensionPart(Model):
    """An extension the archive needs at restore."""

    name: str
    version: str
    schema_: str = Field(alias="schema")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Probe(Model):
    """The nearest rows to a row's vector, and the sum of their distances; rows are numbered in the
    column's sample.
    """

    row: Count
    nearest: tuple[Count, ...]
    distance: float


class VectorPart(Model):
    """A column of pgvector's, by a sample of its rows.

    `dimensions` are empty where the type does not tell; the sample is by the primary key, or, if
    not `by_key`, as the rows lie.
    """

    schema_: str = Field(alias="schema")
    table: str
    column: str
    rows: Count
    nulls: Count
    dimensions: tuple[Count, ...]
    nan: Count
    by_key: bool
    probes: tuple[Probe, ...]

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class FilePart(Model):
    """A file of the backup as it lies on the disk."""

    path: FileName
    size: Count
    sha256: Sha256


class Totals(Model):
    """Sums over tables and files."""

    tables: Count
    rows: Count
    data_bytes: Count
    files: Count
    file_bytes: Count


class Manifest(Model):
    """Everything a backup says of itself; written once.

    `toc_unknown` says why toc.dat could not be read when the backup was taken; None if it was. Of a
    list that is wrong only the first error is kept: a damaged file may hold millions.
    """

    schema_version: Literal[1] = 1
    backup: BackupPart
    database: DatabasePart
    snapshot: datetime
    tables: Annotated[tuple[TablePart, ...], FailFast()]
    sequences: Annotated[tuple[SequencePart, ...], FailFast()]
    extensions: Annotated[tuple[ExtensionPart, ...], FailFast()]
    large_objects: Count
    roles: Annotated[tuple[str, ...], FailFast()]
    files: Annotated[tuple[FilePart, ...], FailFast()]
    totals: Totals
    clients: Annotated[dict[str, str], BeforeValidator(few)]
    vectors: Annotated[tuple[VectorPart, ...], FailFast()] = ()
    notes: Annotated[tuple[str, ...], FailFast()] = ()
    toc_unknown: Annotated[str | None, Field(exclude_if=lambda why: why is None)] = None
    suspect: Annotated[tuple[str, ...], FailFast()] = ()

    @property
    def zstd(self) -> bool:
        """Whether a pg_restore that was built with zstd is needed."""
        return any(part.path.endswith(packing.ZST) for part in self.files)

    def to_json(self) -> str:
        """The manifest file's content."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    def sums(self, manifest_sha256: str) -> str:
        """The content of SHA256SUMS: every file and the manifest, for `sha256sum -c`."""
        rows = [(part.path, part.sha256) for part in self.files] + [(FILE, manifest_sha256)]
        return "".join(f"{digest}  {path}\n" for path, digest in sorted(rows))


def parse(data: bytes) -> object:
    """What a JSON file of ours says; ValueError if it is none, or lists more than one of ours can.

    A hundred megabytes of empty lists would take gigabytes of memory.
    """
    if data.count(b",") > len(data) // 16 + 100_000:
        raise ValueError("it lists far too much")
    return from_json(data)


def read(directory: Path) -> tuple[Manifest, bytes]:
    """The manifest of a backup and its bytes; VerificationError if there is none that holds."""
    path = directory / FILE
    data = streams.read_bounded(path, LIMIT)
    try:
        # Not model_validate_json: each of its errors would hold a copy of the whole document.
        return Manifest.model_validate(parse(data)), data
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _bad(path, f"is not a manifest: {where}: {first['msg']}") from error
    except ValueError as error:
        raise _bad(path, f"is not a manifest: {error}") from error


def _bad(path: Path, how: str) -> VerificationError:
    return VerificationError(
        f"{path.name} {how}.",
        "Do not restore from this backup; take another and check the disk.",
    )
