"""What the verbs answer, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import filesize

from . import backuprole, checks
from .backup import Outcome
from .doctor import Finding
from .drill import Result as Drilled
from .entry import Answer, printable
from .errors import RefusedError, VerificationError
from .index import Glance
from .manifest import Manifest
from .outcomes import Facts
from .prune import Plan
from .sheets import Sheet
from .verify import Result

DEPTHS = {0: "none", checks.FILES: "files", checks.ARCHIVE: "archive", checks.DRILL: "drill"}


def taken(outcome: Outcome, warnings: Sequence[str]) -> Answer:
    """A new backup; the code of a refusal if it is suspect."""
    found = outcome.manifest
    totals = found.totals
    lines = [
        f"Backup {found.backup.name}: {totals.tables:,} tables, {totals.rows:,} rows, "
        f"{filesize.decimal(totals.file_bytes)} in {found.backup.seconds:,.1f} s, verified.",
        f"It is {outcome.path}",
        *(f"Note: {note}" for note in found.notes),
    ]
    if outcome.pruned:
        lines.append(f"Pruned: {len(outcome.pruned.doomed)} older backups deleted.")
    if found.suspect:
        lines += [
            "SUSPECT: it looks as if data were lost:",
            *(f"  {reason}" for reason in found.suspect),
            "Older backups are kept until a later one is right again.",
            "If this is what you meant to do, say so: invoke accept --file " + found.backup.name,
        ]
    document = {
        "outcome": "suspect" if found.suspect else "done",
        "backup": {
            "name": found.backup.name,
            "path": str(outcome.path),
            "environment": found.backup.environment,
            "seconds": found.backup.seconds,
            **found.totals.model_dump(),
        },
        "suspect": found.suspect,
        "notes": found.notes,
        "pruned": outcome.pruned.doomed if outcome.pruned else [],
    }
    code = RefusedError.exit_code if found.suspect else 0
    text = printable("\n".join(lines))
    return Answer(document, text, code=code, warnings=tuple(warnings), facts=_facts(found))


def _facts(found: Manifest) -> Facts:
    """What a new backup's run is remembered by."""
    name = found.backup.name
    return Facts(
        found.database.name,
        name,
        found.totals.rows,
        found.totals.file_bytes,
        suspect=bool(found.suspect),
        what="".join(f"It looks as if data were lost: {reason}. " for reason in found.suspect[:5]),
        do=f"Look at the database. If it was meant: accept --file {name}" if found.suspect else "",
    )


def verified(path: Path, result: Result, warning: str | None) -> Answer:
    """A backup of ours against its manifest; `warning` if the result could not be recorded."""
    problems = result.all_problems
    unjudged = (result.unjudged,) if result.passed and result.unjudged else ()
    document = {
        "file": str(path),
        "outcome": ("cannot judge" if unjudged else "passed") if result.passed else "failed",
        "depth": (checks.FILES if unjudged else checks.ARCHIVE) if result.passed else 0,
        "problems": (*problems, *unjudged),
    }
    warnings = (warning,) if warning else ()
    if unjudged:
        text = f"{path.name}: every file and every row is right, but not all could be judged:"
        return Answer(document, printable(f"{text}\n  {result.unjudged}"), warnings=warnings)
    if result.passed:
        text = printable(f"{path.name}: verified, every file and every row.")
        return Answer(document, text, warnings=warnings)
    # A line break in a name must not look like an answer of ours.
    lines = [f"  {problem}".replace("\n", "\\n") for problem in problems]
    lines.insert(0, f"{path.name} is damaged: do not restore from it.")
    text = printable("\n".join(lines))
    return Answer(document, text, code=VerificationError.exit_code, warnings=warnings)


def drilled(path: Path, result: Drilled, warning: str | None) -> Answer:
    """A restored backup against its manifest: equal, or what differs, or why that is not known."""
    found, recovery = result.findings, result.recovery
    document = {
        "file": str(path),
        "outcome": result.outcome,
        "problems": found.problems,
        "unjudged": found.unjudged,
        "notes": found.notes,
        "recovery": recovery.model_dump() if recovery else None,
    }
    lines, code = _verdict(path, result)
    lines += [f"Note: {note}" for note in found.notes]
    if recovery:
        phases = ", ".join(f"{name} {time:,.1f} s" for name, time in recovery.phases.items())
        lines.append(
            f"Restored in {recovery.seconds:,.1f} s by PostgreSQL {recovery.server_version}: "
            f"{phases}."
        )
    text = printable("\n".join(line.replace("\n", "\\n") for line in lines))
    return Answer(document, text, code=code, warnings=(warning,) if warning else ())


def _verdict(path: Path, result: Drilled) -> tuple[list[str], int]:
    found = result.findings
    if result.outcome == "passed" and result.manifest:
        totals = result.manifest.totals
        said = f"{path.name}: restored and equal, {totals.tables:,} tables, {totals.rows:,} rows."
        return [said], 0
    if result.outcome == "failed":
        lines = [f"{path.name} is not what was backed up: do not rely on it."]
        return lines + [f"  {one}" for one in found.problems], VerificationError.exit_code
    lines = [f"{path.name} cannot be judged here, which says nothing against it:"]
    lines += [f"  {one}" for one in found.unjudged]
    lines.append("A server that has what is lacking can be named in BACKUP_DRILL_URL.")
    return lines, RefusedError.exit_code


def readable(path: Path, kind: str) -> Answer:
    """An archive made elsewhere that could be read to its end."""
    document = {"file": str(path), "outcome": "readable", "kind": kind, "problems": []}
    text = f"{path} ({kind}): readable to its end; nothing to compare it with."
    return Answer(document, printable(text))


def listed(sections: Iterable[tuple[str, Path, Sequence[Glance]]]) -> Answer:
    """The backups of each environment, newest first; environments are never mixed."""
    tables, rows = [], []
    headers = ("backup", "taken (UTC)", "tables", "rows", "size", "verified", "state")
    for environment, store, found in sections:
        cells = [_cells(backup) for backup in found]
        title, right = printable(f"{environment}: {store}"), frozenset({"tables", "rows", "size"})
        tables.append(Sheet(title, headers, cells, right))
        rows += [_document(backup, store) for backup in found]
    return Answer({"backups": rows}, "" if rows else "No backups yet.", tuple(tables))


def planned(plans: Sequence[Plan], *, applied: bool) -> Answer:
    """What retention keeps and deletes, each backup with its reasons."""
    tables = []
    for plan in plans:
        title = f"{plan.series}: {'deleted' if applied else 'would delete'} {len(plan.doomed)}"
        cells = [
            (printable(d.name), "keep" if d.keep else "delete", printable(", ".join(d.reasons)))
            for d in plan.decisions
        ]
        tables.append(Sheet(printable(title), ("backup", "decision", "reasons"), cells))
    doomed = sum(len(plan.doomed) for plan in plans)
    text = "" if plans else "No backups yet."
    if doomed and not applied:
        text = "Nothing was deleted. To delete what the plan says, add --apply (make: APPLY=1)."
    document = {
        "applied": applied,
        "plans": [
            {
                "series": plan.series,
                "decisions": [
                    {"name": d.name, "keep": d.keep, "reasons": d.reasons} for d in plan.decisions
                ],
            }
            for plan in plans
        ],
    }
    return Answer(document, text, tuple(tables))


def examined(environment: str, findings: Sequence[Finding]) -> Answer:
    """What the doctor found, a line each; the code of a refusal if something failed."""
    failed = [finding for finding in findings if finding.level == "FAILED"]
    lines = [f"{finding.level:<8} {finding.check}: {finding.said}" for finding in findings]
    document = {
        "environment": environment,
        "healthy": not failed,
        "checks": [vars(finding) for finding in findings],
    }
    code = RefusedError.exit_code if failed else 0
    return Answer(document, printable("\n".join(lines)), code=code)


def _cells(backup: Glance) -> tuple[str, ...]:
    return (
        printable(backup.text),
        backup.time.isoformat(" ", "seconds")[:19],
        "?" if backup.tables is None else f"{backup.tables:,}",
        "?" if backup.rows is None else f"{backup.rows:,}",
        "?" if backup.file_bytes is None else filesize.decimal(backup.file_bytes),
        DEPTHS.get(backup.depth, "?"),
        printable(backup.state),
    )


def _document(backup: Glance, store: Path) -> dict[str, object]:
    counts = ("tables", "rows", "data_bytes", "files", "file_bytes")
    totals = {name: getattr(backup, name) for name in counts}
    return {
        "name": backup.text,
        "path": f"{store}/{backup.text}",
        "environment": backup.environment,
        "database": backup.database,
        "time": backup.time.isoformat(),
        "totals": totals if backup.tables is not None else None,
        "depth": backup.depth,
        "checks": [check.model_dump(mode="json") for check in backup.checks],
        "state": backup.state,
        "suspect": list(backup.suspect),
    }


def role_ensured(outcome: backuprole.Outcome, *, dry_run: bool) -> Answer:
    """What was done to the backups' role, or would be."""
    document = {
        "role": outcome.name,
        "database": outcome.database,
        "changed": bool(outcome.changes),
        "dry_run": dry_run,
        "changes": list(outcome.changes),
        "warnings": list(outcome.warnings),
    }
    done = "to do" if dry_run else "done"
    lines = [printable(f"{done}: {change}") for change in outcome.changes]
    text = "\n".join(lines) or f"{outcome.name} can back up {outcome.database}."
    return Answer(document, text, warnings=tuple(map(printable, outcome.warnings)))
