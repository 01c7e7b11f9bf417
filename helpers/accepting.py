"""Accept a suspect backup: somebody looked, and the loss was meant."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from . import checks, manifest
from .checks import Accepted, Verification
from .errors import RefusedError
from .files import storage_errors
from .listing import Backup


def accept(backup: Backup, by: str) -> Verification:
    """Record that `by` accepts a suspect backup, so that retention builds on it again.

    Raises RefusedError if it is not suspect or not verified, StorageError if it cannot be written.
    """
    if backup.damage or not backup.verified:
        raise RefusedError(
            f"{backup.name} is not verified ({backup.damage or 'its last verification failed'}).",
            "Only a verified backup can be accepted: run verify on it first.",
        )
    if not backup.suspect:
        raise RefusedError(f"{backup.name} is not suspect.", "There is nothing to accept.")
    with storage_errors(backup.path), checks.exclusive(backup.path):
        _, data = manifest.read(backup.path)
        fresh = Verification(manifest_sha256=hashlib.sha256(data).hexdigest())
        record = (checks.read(backup.path) or fresh).model_copy(
            update={"accepted": Accepted(time=datetime.now(UTC), by=by)}
        )
        checks.write(backup.path, record)
    return record
