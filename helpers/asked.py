"""What the options of a verb mean: the environment's settings, its store, the backup."""

from __future__ import annotations

import os
from pathlib import Path

from . import destination, envfiles, listing
from . import settings as configuration
from .destination import Production
from .errors import ConfigError
from .files import storage_error
from .names import parse_name
from .settings import HOST_DIR, Settings
from .store import Store

HELP = {
    "env": "Environment: dev, prod or any other that has an inventory or an env file",
    "file": "A backup's name, `latest`, or a path: a backup, a file in it, or any pg_dump archive",
    "dest": "Another store than BACKUP_DIR, for once",
    "json": "Answer with one JSON document",
    "quiet": "No progress, only the answer",
    "log-json": "Progress, problems and the run's record as lines of JSON on stderr",
    "dry-run": "Check what would be checked, write nothing",
    "prune": "Delete what retention does not keep, once the new backup is published",
    "to": "The target: a database on the environment's server, or a URL",
    "only-table": "One table, with its indexes and constraints, into a database that is there",
    "schema-only": "Definitions without rows",
    "no-owner": "Without owners and privileges: everything becomes ours",
    "replace": "Put it in the place of a database that is not empty, which is kept by another name",
    "end-sessions": "End the sessions that are connected to the database that is replaced",
    "confirm": "The target's name again, where it is production",
    "globals": "Make the roles of the backup that the server lacks; alone without --to",
    "nagios": "One line with performance data, and the exit code of a monitoring plugin",
    "output": "The file to write, or - for standard output; report-<environment>.html by default",
    "apply": "Delete; without it the plan is only shown",
}


checkout: Path | None = None
"""Set by tasks.py, which is what makes a machine a control machine."""


def helps(*options: str) -> dict[str, str]:
    """The help of these options."""
    return {option: HELP[option] for option in options}


def root() -> Path:
    """Where env files are looked for: the checkout on a control machine, else where we stand."""
    return checkout or Path.cwd()


def load(env: str | None, dest: str | None = None) -> Settings:
    """The settings of an environment; ConfigError with everything that is wrong with them."""
    place = Path(dest).expanduser().absolute() if dest else None
    return configuration.load(env, root=root(), environ=os.environ, dest=place)


def existing(settings: Settings) -> Store:
    """The store of an environment; the default one may not have been made yet."""
    if settings.store_is_default and not settings.store.exists():
        try:
            settings.store.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise storage_error(settings.store, error) from error
    return Store(settings.store)


def selected(file: str, env: str | None, dest: str | None) -> tuple[Path, Settings | None]:
    """What a selector means; settings are only needed for `latest` and for a name."""
    name = parse_name(file)
    if file != "latest" and (name is None or os.path.lexists(file)):
        return listing.select(file, None, env), None
    named = env or os.environ.get("BACKUP_ENV") or (name.environment if name else None)
    settings = load(named, dest)
    return listing.select(file, existing(settings), settings.environment), settings


def production() -> Production:
    """What files here say of production, and which environments' files nobody can tell from."""
    known, unknown = [], []
    for name in sorted(destination.NAMES):
        if not envfiles.describe(name, root(), HOST_DIR):
            continue
        try:
            known.append(configuration.load(name, root=root(), environ={}))
        except ConfigError:  # it is not what this run is about
            unknown.append(name)
    return Production(tuple(known), tuple(unknown))
