"""What verify, drill and accept have found since: verification.json beside the manifest."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, FailFast, Field

from . import streams
from .errors import VerificationError
from .manifest import VERIFICATION, Model, Sha256, few, parse
from .store import RECORD

Outcome = Literal["passed", "failed", "cannot judge"]
LIMIT = 16 << 20

FILES, ARCHIVE, DRILL = 1, 2, 3
"""The depths of verification."""


class Recovery(Model):
    """How long a drill's restore took, in seconds: in all, and each phase by its name."""

    server_version: str
    seconds: float
    phases: Annotated[dict[str, float], BeforeValidator(few)]


class Check(Model):
    """The last result at one depth; `problems` are sentences. A drill has a `recovery`."""

    depth: int
    outcome: Outcome
    time: datetime
    problems: Annotated[tuple[str, ...], FailFast()] = ()
    recovery: Annotated[Recovery | None, Field(exclude_if=lambda found: found is None)] = None


class Accepted(Model):
    """Somebody looked at a suspect backup and found it right."""

    time: datetime
    by: str


class Verification(Model):
    """The results for one manifest, one per depth; `sha256` is of the file without that line."""

    schema_version: Literal[1] = 1
    manifest_sha256: Sha256
    checks: Annotated[tuple[Check, ...], FailFast()] = ()
    accepted: Accepted | None = None

    @property
    def depth(self) -> int:
        """The deepest check passed; 0 if none has, or if any last result is a failure."""
        if any(check.outcome == "failed" for check in self.checks):
            return 0
        return max((c.depth for c in self.checks if c.outcome == "passed"), default=0)

    def outcome(self, depth: int) -> Check | None:
        """The last result at `depth`."""
        return next((check for check in self.checks if check.depth == depth), None)

    def with_checks(self, *new: Check) -> Verification:
        """The same with newer results in the place of older ones of their depth."""
        depths = {check.depth for check in new}
        kept = [check for check in self.checks if check.depth not in depths]
        ordered = sorted([*kept, *new], key=lambda check: check.depth)
        return self.model_copy(update={"checks": tuple(ordered)})

    def to_bytes(self) -> bytes:
        """The file's content, sealed with a checksum of its own."""
        body = self.model_dump_json(indent=1)
        digest = hashlib.sha256(body.encode()).hexdigest()
        return (body.removesuffix("\n}") + f',\n "sha256": "{digest}"\n}}\n').encode()


def read(directory: Path) -> Verification | None:
    """What is recorded of a backup; None if nothing is. VerificationError if it was changed."""
    path = directory / VERIFICATION
    if not os.path.lexists(path):
        return None
    data = streams.read_bounded(path, LIMIT)
    try:
        record = Verification.model_validate(parse(data))
        whole = record.to_bytes() == data
    except ValueError as error:  # pydantic's is one, and so is text that cannot be encoded
        raise _changed(path) from error
    if not whole:
        raise _changed(path)
    return record


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Let one process at a time read and replace a backup's record; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(directory: Path, record: Verification) -> None:
    """Replace verification.json, durably and in one step, under `exclusive`; raises OSError."""
    path = directory / VERIFICATION
    temporary = directory.parent / f"{RECORD}{directory.name}"
    try:
        # What a killed run left of it, or somebody put there, is neither followed nor waited for.
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(record.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _changed(path: Path) -> VerificationError:
    return VerificationError(
        f"{path.name} was changed or is damaged.",
        "Look for the disk's errors; then remove the file and verify the backup again.",
    )
