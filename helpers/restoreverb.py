"""The verb `restore`, as an invoke task."""

from __future__ import annotations

import os

from invoke.context import Context
from invoke.tasks import task

from . import destination, entry, progress, restored, restoring
from .asked import helps, load, production, selected
from .entry import Answer
from .restoreplan import Wish


@task(
    help=helps(
        "file",
        "to",
        "env",
        "dest",
        "only-table",
        "schema-only",
        "no-owner",
        "replace",
        "end-sessions",
        "confirm",
        "globals",
        "dry-run",
        "quiet",
        "json",
    )
)
def restore(
    _context: Context,
    file: str,
    to: str | None = None,
    env: str | None = None,
    dest: str | None = None,
    only_table: str | None = None,
    schema_only: bool = False,
    no_owner: bool = False,
    replace: bool = False,
    end_sessions: bool = False,
    confirm: str | None = None,
    globals: bool = False,  # noqa: A002 - the option's name
    dry_run: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Restore a backup into a database, which gets its name once everything has been compared."""

    def work() -> Answer:
        path, settings = selected(file, env, dest)
        wish = Wish(
            to,
            only_table,
            schema_only=schema_only,
            owners=not no_owner,
            replace=replace,
            end_sessions=end_sessions,
            confirm=confirm,
            with_globals=globals,
            dry_run=dry_run,
        )
        own = None
        if not destination.is_connection(to or ""):
            own = settings or load(env or os.environ.get("BACKUP_ENV"), dest)
        with progress.display(quiet=quiet) as shown:
            outcome = restoring.run(path, wish, own, production(), shown)
        return restored.answer(outcome, dry_run=dry_run, warnings=destination.warnings(to))

    entry.run("restore", work, as_json=json)
