"""Run `pgbackup` as a person or cron does: a process of its own, with its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SECRET = "s3cr3t-Pa55"
"""A password to use where a test wants to see that it is told to nobody."""


@dataclass(frozen=True)
class Ran:
    """What a run said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document of a --json run."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.out + self.err


def environment(url: str | None, store: Path | None, **extra: str) -> dict[str, str]:
    """A clean process environment for environment `test`, with a database and a store."""
    wanted = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
    kept = {key: os.environ[key] for key in wanted if key in os.environ}
    given = {"BACKUP_ENV": "test", "PYTHONPATH": str(PROJECT)}
    given["BACKUP_BINARY_FROM"] = "0"  # so that a test's small tables are copied as large ones are
    given |= extra
    if url:
        given["DATABASE_URL"] = url
    if store:
        given["BACKUP_DIR"] = str(store)
    return {**kept, **given}


def argv(*words: str) -> list[str]:
    """The command line of a verb."""
    return [sys.executable, "-W", "error", "-m", "helpers", *words]


def pgbackup(
    *words: str,
    env: Mapping[str, str],
    cwd: Path,
    timeout: float = 120,
    stdin: str | None = None,
) -> Ran:
    """Run one verb to its end; no run may ever show a traceback."""
    done = subprocess.run(
        argv(*words),
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        input=stdin,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def start(*words: str, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """Start one verb, to be disturbed while it runs."""
    return subprocess.Popen(
        argv(*words),
        env=dict(env),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
