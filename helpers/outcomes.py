"""How a run went: its record for a log, and its subject and body for people (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from .errors import BackupError, Interruption, exit_code, refused_by_system

SCHEMA_VERSION = 1

Outcome = Literal["done", "suspect", "failed", "interrupted"]


@dataclass(frozen=True)
class Facts:
    """What a verb found; `what` went wrong and what to `do`, where something did."""

    database: str | None = None
    backup: str | None = None
    rows: int | None = None
    bytes: int | None = None
    suspect: bool = False
    what: str = ""
    do: str = ""


@dataclass(frozen=True)
class Run:
    """One run of a verb; `seconds` is how long it took."""

    verb: str
    environment: str
    host: str
    started: datetime
    seconds: float
    code: int = 0
    interrupted: bool = False
    facts: Facts = field(default_factory=Facts)

    @property
    def outcome(self) -> Outcome:
        """In one word."""
        if self.interrupted:
            return "interrupted"
        if self.facts.suspect:
            return "suspect"
        return "failed" if self.code else "done"

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return self.started + timedelta(seconds=self.seconds)


def of_error(error: BaseException, database: str | None) -> tuple[int, bool, Facts]:
    """Exit code, whether it was interrupted, and what a run's error says without a secret."""
    if isinstance(error, OSError):
        error = refused_by_system(error)
    if isinstance(error, BackupError):
        facts = Facts(database, what=error.what, do=error.do)
        return exit_code(error), isinstance(error, Interruption), facts
    # What an unexpected error says was written by nobody who knew what a secret is.
    what = f"Unexpected {type(error).__name__}."
    return 1, False, Facts(database, what=what, do="See what the run said on standard error.")


def record(run: Run, version: str, untold: Sequence[str] = ()) -> dict[str, object]:
    """The run as one flat document; `untold` says whom it could not be told, and why."""
    facts = asdict(run.facts)
    facts.pop("suspect")
    return {
        "schema_version": SCHEMA_VERSION,
        "time": run.ended.isoformat(timespec="seconds"),
        "verb": run.verb,
        "environment": run.environment,
        "database": facts.pop("database"),
        "outcome": run.outcome,
        "exit_code": run.code,
        "seconds": round(run.seconds, 3),
        **facts,
        "host": run.host,
        "version": version,
        "untold": list(untold),
    }


def failed_before(earlier: Mapping[str, object] | None) -> bool:
    """Whether the record of an earlier run is of one that did not go well."""
    return earlier is not None and earlier.get("exit_code") != 0


def event(
    run: Run, earlier: Mapping[str, object] | None
) -> Literal["failure", "recovery", "success"]:
    """What a run is to those who are told."""
    if run.code:
        return "failure"
    return "recovery" if failed_before(earlier) else "success"


def subject(run: Run, *, recovered: bool) -> str:
    """One line: what happened, to which environment and database."""
    words = {"done": "is done", "suspect": "is suspect", "failed": "FAILED"}
    said = "works again" if recovered else words.get(run.outcome, "was interrupted")
    database = f" of {run.facts.database}" if run.facts.database else ""
    line = f"{run.environment or 'unknown environment'}: {run.verb}{database} {said}"
    return " ".join(line.split())


def body(run: Run, newest: str, said: Sequence[str] = ()) -> str:
    """The same in full; `newest` is about the newest good backup, `said` what the run wrote."""
    facts = run.facts
    lines = [
        f"What happened: {facts.what}" if facts.what else "",
        f"What to do: {facts.do}" if facts.do else "",
        f"Backup: {facts.backup}" if facts.backup else "",
        f"Rows: {facts.rows:,}" if facts.rows is not None else "",
        f"Newest good backup: {newest}",
        f"Environment: {run.environment or 'unknown'}",
        f"Database: {facts.database or 'unknown'}",
        f"Host: {run.host}",
        f"Ended: {run.ended:%Y-%m-%d %H:%M:%S} UTC, after {run.seconds:,.1f} s, "
        f"with exit code {run.code}",
    ]
    if said:
        lines += ["", "The last lines of its log:", *(f"  {line}" for line in said)]
    return "\n".join(line for number, line in enumerate(lines) if line or number > 8)


def age(seconds: float) -> str:
    """A time span as people say it, rounded down."""
    minutes = int(max(0, seconds) // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"
