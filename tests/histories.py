"""A store with a past: backups of many days, as manifests and files of the right size alone."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from helpers import describe
from helpers.checks import Check, Outcome, Recovery, Verification
from helpers.manifest import VERIFICATION, FilePart
from helpers.names import Name

from . import examples


@dataclass(frozen=True)
class Past:
    """One backup of a past; its file is a hole of `size` bytes."""

    time: datetime
    size: int = 1000
    rows: int = 100
    seconds: float = 1.5
    outcome: Outcome | None = "passed"
    suspect: tuple[str, ...] = ()
    drill: Outcome | None = None
    recovery: float = 12.5
    problems: tuple[str, ...] = ()


def write(
    store: Path, past: Past, *, database: str = "chat", environment: str = "test", **changes: object
) -> Path:
    """The backup in a store; `changes` are of its manifest."""
    name = Name(database, environment, past.time.replace(microsecond=0))
    place = store / str(name)
    place.mkdir(parents=True)
    with (place / "toc.dat").open("wb") as file:
        os.truncate(file.fileno(), past.size)
    part = FilePart(path="toc.dat", size=past.size, sha256="ab" * 32)
    found = examples.manifest(examples.table("messages", past.rows), name=name, files=(part,))
    timed = found.backup.model_copy(update={"seconds": past.seconds})
    found = found.model_copy(update={"backup": timed, "suspect": past.suspect, **changes})
    describe.write(place, found)
    if past.outcome:
        digest = hashlib.sha256((place / "manifest.json").read_bytes()).hexdigest()
        checked = past.time + timedelta(seconds=past.seconds)
        done = [Check(depth=depth, outcome=past.outcome, time=checked) for depth in (1, 2)]
        if past.drill:
            recovery = Recovery(server_version="18.0", seconds=past.recovery, phases={})
            later = checked + timedelta(hours=3)
            done.append(
                Check(
                    depth=3,
                    outcome=past.drill,
                    time=later,
                    problems=past.problems,
                    recovery=recovery,
                )
            )
        record = Verification(manifest_sha256=digest, checks=tuple(done))
        (place / VERIFICATION).write_bytes(record.to_bytes())
    return place
