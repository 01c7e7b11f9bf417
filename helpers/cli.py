"""The verbs, as invoke tasks; a control machine and a backup host share them."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

from . import (
    accepting,
    answers,
    backuprole,
    entry,
    envcheck,
    envfiles,
    foreign,
    index,
    listing,
    progress,
    watch,
)
from . import backup as backing_up
from . import doctor as diagnosing
from . import drill as drilling
from . import prune as pruning
from . import settings as configuration
from . import verify as verifying
from .asked import HELP, existing, helps, load, root, selected
from .entry import Answer
from .errors import ConfigError, NotFoundError, RefusedError, StorageError
from .listing import SEE_LIST
from .names import parse_name
from .notifyverb import notify_
from .restoreverb import restore
from .settings import HOST_DIR, Settings, Target
from .viewverbs import report_, status_


def watched(
    verb: str, env: str | None, dest: str | None, work: Callable[[Settings], Answer], log_json: bool
) -> Callable[[], Answer]:
    """The work of a verb that is logged, measured and told about, on its settings."""
    place = Path(dest).expanduser().absolute() if dest else None

    def overhear() -> Target:
        return configuration.overhear(env, root=root(), environ=os.environ, dest=place)

    return lambda: watch.watched(verb, lambda: load(env, dest), overhear, work, log_json=log_json)


@task(help=helps("env", "dest", "prune", "dry-run", "quiet", "json", "log-json"))
def backup(
    _context: Context,
    env: str | None = None,
    dest: str | None = None,
    prune: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    json: bool = False,
    log_json: bool = False,
) -> None:
    """Take a backup, verify it, and publish it."""

    def check() -> Answer:
        settings = load(env, dest)
        client = backing_up.check(settings)
        text = f"A backup would go to {settings.store}, by pg_dump {client.version}."
        document = {"outcome": "dry run", "store": str(settings.store)}
        warnings = (*settings.warnings, *watch.deaf(settings.tell))
        return Answer(document, text, warnings=warnings)

    def take(settings: Settings) -> Answer:
        with progress.display(quiet=quiet, as_json=log_json) as shown:
            outcome = backing_up.run(settings, shown, then_prune=prune)
        return answers.taken(outcome, settings.warnings)

    work = check if dry_run else watched("backup", env, dest, take, log_json)
    entry.run("backup", work, as_json=json, log_json=log_json)


@task(help=helps("file", "env", "dest", "quiet", "json"))
def verify(
    _context: Context,
    file: str,
    env: str | None = None,
    dest: str | None = None,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Check a backup to its last byte, without a server."""

    def work() -> Answer:
        path, settings = selected(file, env, dest)
        if foreign.is_foreign(path) and not parse_name(path.name):
            pg_bin = os.environ.get("BACKUP_PG_BIN")
            kind = foreign.read_through(path, Path(pg_bin) if pg_bin else None)
            return answers.readable(path, kind)
        jobs = settings.jobs if settings else os.cpu_count() or 1
        with progress.display(quiet=quiet) as shown:
            result = verifying.verify(path, path.name, jobs, shown)
        if not result.passed and not os.path.lexists(path):
            raise NotFoundError(f"{path.name} was deleted while it was read.", SEE_LIST)
        return answers.verified(path, result, _recorded(path, result))

    entry.run("verify", work, as_json=json)


@task(help=helps("file", "env", "dest", "quiet", "json", "log-json"))
def drill(
    _context: Context,
    file: str = "latest",
    env: str | None = None,
    dest: str | None = None,
    quiet: bool = False,
    json: bool = False,
    log_json: bool = False,
) -> None:
    """Restore a backup into a scratch database and compare everything with its manifest."""

    def work() -> Answer:
        path, settings = selected(file, env, dest)
        if foreign.is_foreign(path) and not parse_name(path.name):
            raise RefusedError(
                f"{path} has no manifest to compare with.", "Drill a backup that list shows."
            )
        with progress.display(quiet=quiet, as_json=log_json) as shown:
            read, result = drilling.run(path, _wish(settings), shown)
        if read.manifest is None and not os.path.lexists(path):
            raise NotFoundError(f"{path.name} was deleted while it was read.", SEE_LIST)
        try:
            drilling.record(path, read, result)
        except OSError as error:
            unkept = f"The result could not be recorded: {error.strerror}."
            return answers.drilled(path, result, unkept)
        return answers.drilled(path, result, None)

    # What is scheduled is the latest; a path may be of no environment that we know.
    told = watched("drill", env, dest, lambda _settings: work(), log_json)
    entry.run("drill", told if file == "latest" else work, as_json=json, log_json=log_json)


@task(name="list", help=helps("env", "dest", "json"))
def list_(
    _context: Context, env: str | None = None, dest: str | None = None, json: bool = False
) -> None:
    """List the backups of one environment, or of every one that has an env file."""

    def work() -> Answer:
        named = env or os.environ.get("BACKUP_ENV")
        environments = [named] if named else envfiles.described(root(), HOST_DIR)
        chosen = [load(one, dest) for one in environments] or [load(None, dest)]
        sections = [
            (
                settings.environment,
                settings.store,
                index.glances(existing(settings), settings.environment),
            )
            for settings in chosen
        ]
        return answers.listed(sections)

    entry.run("list", work, as_json=json)


@task(help=helps("env", "dest", "apply", "dry-run", "quiet", "json", "log-json"))
def prune(
    _context: Context,
    env: str | None = None,
    dest: str | None = None,
    apply: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    json: bool = False,
    log_json: bool = False,
) -> None:
    """Show what retention keeps and deletes, each with its reasons; delete with --apply."""

    def plan() -> Answer:
        settings = load(env, dest)
        plans = pruning.shown(existing(settings), settings.environment, settings.keep)
        return answers.planned(plans, applied=False)

    def delete(settings: Settings) -> Answer:
        store, environment, keep = existing(settings), settings.environment, settings.keep
        with progress.display(quiet=quiet, as_json=log_json) as shown:
            done = pruning.apply(store, environment, keep, shown)
        return answers.planned(done, applied=True)

    deleting = apply and not dry_run
    work = watched("prune", env, dest, delete, log_json) if deleting else plan
    entry.run("prune", work, as_json=json, log_json=log_json)


@task(help=helps("file", "env", "dest", "json"))
def accept(
    _context: Context,
    file: str,
    env: str | None = None,
    dest: str | None = None,
    json: bool = False,
) -> None:
    """Accept a suspect backup: the loss was meant, retention may build on it again."""

    def work() -> Answer:
        path, _ = selected(file, env, dest)
        name = parse_name(path.name)
        if name is None:
            raise NotFoundError(f"{path} is not a backup of ours.", "Name one that list shows.")
        accepting.accept(listing.load(path, name), getpass.getuser())
        return Answer({"accepted": path.name}, f"{path.name} is accepted.")

    entry.run("accept", work, as_json=json)


@task(help={"env": HELP["env"], "file": "The env file"})
def check_env(_context: Context, env: str, file: str) -> None:
    """Check an env file before it is put where scheduled backups read it."""

    def work() -> Answer:
        envcheck.check(Path(file), env)
        return Answer({}, f"{file} describes {env}.")

    entry.run("check-env", work, as_json=False)


@task(help=helps("dry-run", "json"))
def create_role(_context: Context, dry_run: bool = False, json: bool = False) -> None:
    """Make the least role that can back up; the request is JSON on standard input."""

    def work() -> Answer:
        outcome = backuprole.ensure(backuprole.read(sys.stdin.read()), dry_run=dry_run)
        return answers.role_ensured(outcome, dry_run=dry_run)

    entry.run("create-role", work, as_json=json)


@task(help=helps("env", "json"))
def doctor(_context: Context, env: str | None = None, json: bool = False) -> None:
    """Say whether the next scheduled backup would work and whether the last one did."""

    def work() -> Answer:
        named = env or os.environ.get("BACKUP_ENV") or load(None).environment
        return answers.examined(named, diagnosing.examine(named, root(), HOST_DIR))

    entry.run("doctor", work, as_json=json)


VERBS: tuple[Task[Callable[..., None]], ...] = (
    backup,
    verify,
    drill,
    list_,
    prune,
    accept,
    restore,
    status_,
    report_,
    notify_,
    doctor,
    check_env,
)
"""Every verb that is about an environment, in the order that help shows them."""


def namespace() -> Collection:
    """The verbs as invoke loads them."""
    return Collection(*VERBS, create_role)


def _wish(settings: Settings | None) -> drilling.Wish:
    """How to drill: as the settings say, where there are any."""
    if settings is None:
        try:
            settings = load(None)
        except ConfigError:
            return drilling.Wish(jobs=os.cpu_count() or 1)
    return drilling.Wish(settings.jobs, settings.drill_url, settings.drill_dir, settings.pg_bin)


def _recorded(path: Path, result: verifying.Result) -> str | None:
    """Record the result beside the backup; why not, if that cannot be written."""
    try:
        verifying.record(path, result)
    except OSError as error:
        return StorageError(f"The result could not be recorded: {error.strerror}.", "").what
    return None
