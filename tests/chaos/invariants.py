"""What must hold of a store whatever happened: each breach of it is a sentence."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers import checks, progress, verify
from helpers.errors import VerificationError
from helpers.manifest import FILE, GLOBALS, VERIFICATION
from helpers.names import parse_name
from helpers.store import DELETED, PARTIAL

_KEPT = (".lock-", ".runs-", ".index-")
"""A lock and the log of the runs outlive every run."""

Trees = Mapping[str, Mapping[str, str]]
"""Of each backup each file's hash, less that of the record that later runs may replace."""


def trees(store: Path) -> Trees:
    """Every backup as it lies there."""
    return {
        place.name: {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(place.iterdir())
            if file.name != VERIFICATION
        }
        for place in sorted(store.iterdir())
        if parse_name(place.name)
    }


def harmed(store: Path, before: Trees, *, may_delete: bool) -> Iterator[str]:
    """Earlier backups that are not as they were."""
    now = trees(store)
    for name, files in before.items():
        if name not in now:
            if not may_delete:
                yield f"{name} is gone"
        elif now[name] != files:
            yield f"{name} is not what it was"
    if before and not now:
        yield "no backup is left"


def untrue(store: Path) -> Iterator[str]:
    """What bears a backup's name without being one, and what nobody else should read."""
    for place in sorted(store.iterdir()):
        if not parse_name(place.name):
            continue
        result = verify.verify(place, place.name, 2, progress.Quiet(silent=True))
        yield from (f"{place.name}: {problem}" for problem in result.all_problems)
        try:
            record = checks.read(place)
        except VerificationError as error:
            yield f"{place.name}: {error.what}"
            continue
        if record is None:
            yield f"{place.name} was published without a record of its verification"
        elif record.manifest_sha256 != result.manifest_sha256:
            yield f"{place.name}: its record is another manifest's"
        if not (place / GLOBALS).exists():
            yield f"{place.name} has no {GLOBALS}, though nobody was refused to read the roles"
        yield from _modes(place)


def _modes(place: Path) -> Iterator[str]:
    for path in (place, *place.iterdir()):
        mode = path.lstat().st_mode
        if mode & 0o077:
            yield f"{path.name} has mode {stat.S_IMODE(mode):o}"


def stray(store: Path, *, after_a_crash: bool) -> Iterator[str]:
    """What has no business in a store; after a crash an own unfinished directory has."""
    crashed = (PARTIAL, DELETED, ".verification-", ".probe-") if after_a_crash else ()
    for name in sorted(entry.name for entry in store.iterdir()):
        if not parse_name(name) and not name.startswith((*_KEPT, *crashed)):
            yield f"{name} was left over"


def incomplete(store: Path) -> list[str]:
    """Backups without a manifest that can be read."""
    return [
        place.name
        for place in store.iterdir()
        if parse_name(place.name) and not _is_json(place / FILE)
    ]


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
