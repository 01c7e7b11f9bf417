"""What a restore answers, for people and for programs."""

from __future__ import annotations

from .entry import Answer, printable
from .restoring import Outcome


def answer(outcome: Outcome, *, dry_run: bool, warnings: tuple[str, ...]) -> Answer:
    """What was done, or what would be."""
    place = outcome.place
    document = {
        "outcome": "dry run" if dry_run else "restored",
        "backup": outcome.backup,
        "database": place.database,
        "steps": list(outcome.steps),
        "roles": list(outcome.roles),
        "tables": outcome.tables,
        "rows": outcome.rows,
        "seconds": round(outcome.seconds, 3),
        "kept": outcome.kept,
        "skipped": list(outcome.skipped),
    }
    lines = [f"Role {role} {'would be' if dry_run else 'was'} made." for role in outcome.roles]
    if dry_run:
        lines = ["Nothing speaks against it. It would", *(f"- {step}" for step in outcome.steps)]
    elif outcome.restored:
        what = f"{outcome.tables:,} tables, {outcome.rows:,} rows, as in its manifest,"
        lines.append(
            f"{outcome.backup} is restored into {place.shown}: "
            f"{what if outcome.tables else 'definitions'} in {outcome.seconds:,.1f} s."
        )
        if outcome.kept:
            lines.append(f"The old database is kept as {outcome.kept}; drop it when all is well.")
    elif not outcome.roles:
        lines.append("The server has every role of the backup.")
    if outcome.skipped:
        lines.append(f"Left to you, of globals.sql: {'; '.join(outcome.skipped)}.")
    return Answer(document, printable("\n".join(lines)), warnings=warnings)
