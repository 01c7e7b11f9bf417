"""The control machine's verbs: those of a backup host, run where the inventory says, and more."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task, task

from helpers import cli, demo, entry, envfiles, inventory
from helpers.entry import Answer
from helpers.errors import ConfigError
from helpers.settings import HOST_DIR

ROOT = Path(__file__).resolve().parent
cli.checkout = ROOT
PYTHON_FILES = "helpers tests tasks.py"


def _routed(verb: Task[Callable[..., None]]) -> Task[Callable[..., None]]:
    """The same verb, run where its environment's inventory says."""

    @functools.wraps(verb.body)
    def body(context: Context, *args: object, **options: object) -> None:
        with entry.guard(verb.name, as_json=bool(options.get("json"))):
            _refuse_remote(_environment(options.get("env")))
        verb.body(context, *args, **options)

    return Task(body, name=verb.name, help=verb.help)


def _environment(env: object) -> str | None:
    """The environment that a verb is about; None where only its settings can tell."""
    described = envfiles.described(ROOT, HOST_DIR)
    named = env or os.environ.get("BACKUP_ENV")
    return str(named) if named else described[0] if len(described) == 1 else None


def _refuse_remote(environment: str | None) -> None:
    if environment is None:
        return
    remote = [host.name for host in inventory.hosts(ROOT, environment) if not host.local]
    if remote:
        raise ConfigError(
            f"The backups of {environment} run on {', '.join(remote)}, not here.",
            "Log in there and run pgbackup.",
        )


@task(name="demo")
def demo_(context: Context) -> None:
    """Start a throwaway database here, back it up, verify, list and prune."""

    def start() -> Answer:
        server = demo.start(ROOT)
        return Answer({}, f"PostgreSQL is running on 127.0.0.1:{server.port}, data in .demo.")

    entry.run("demo", start, as_json=False)
    for verb, options in (
        ("backup", {}),
        ("verify", {"file": "latest"}),
        ("list", {}),
        ("prune", {}),
    ):
        print(f"\n$ invoke {verb} --env demo {'--file latest' if options else ''}".rstrip())
        sys.stdout.flush()
        ns.tasks[verb](context, env=demo.ENVIRONMENT, **options)
    entry.run("demo", lambda: Answer({}, demo.how_to_restore(ROOT)), as_json=False)


@task
def demo_clean(_context: Context) -> None:
    """Stop the demonstration's server and remove what it made."""

    def work() -> Answer:
        demo.clean(ROOT)
        return Answer({}, "The demonstration is gone.")

    entry.run("demo-clean", work, as_json=False)


@task
def lint(context: Context) -> None:
    """Check style and types, of Python, YAML and Ansible."""
    for command in (
        f"ruff check {PYTHON_FILES}",
        f"ruff format --check {PYTHON_FILES}",
        "mypy",
        "yamllint --strict .",
    ):
        _tool(context, command)


@task(help={"args": "Arguments for pytest"})
def test(context: Context, args: str = "") -> None:
    """Set up what is missing and run every test, with coverage."""
    _tool(context, "tests.packages")
    _tool(context, f"pytest --numprocesses 2 --cov --cov-report=term {args}".rstrip())


@task(
    help={
        "megabytes": "Size of each database",
        "rounds": "Runs of each contender; the report has their medians",
        "write": "Keep the report in docs/performance.md",
    }
)
def bench(context: Context, megabytes: int = 500, rounds: int = 3, write: bool = False) -> None:
    """Measure backup and verify beside pg_dump on generated databases."""
    keep = " --write" if write else ""
    _tool(context, f"tests.bench --megabytes {megabytes} --rounds {rounds}{keep}")


@task
def requirements(context: Context) -> None:
    """Pin every requirements*.txt anew from its .in file, with hashes."""
    for name in ("requirements-host", "requirements", "requirements-dev"):
        _tool(
            context,
            f"uv pip compile --quiet --upgrade --universal --python-version 3.11 "
            f"--generate-hashes --no-emit-index-url --no-emit-find-links --no-header "
            f"--no-annotate {name}.in --output-file {name}.txt",
        )


def _tool(context: Context, command: str) -> None:
    """Run a development tool of this virtual environment from the project's root."""
    with context.cd(str(ROOT)):
        context.run(f"{sys.executable} -m {command}", echo=True, pty=sys.stdout.isatty())


ns = Collection(
    *(_routed(verb) for verb in cli.VERBS), demo_, demo_clean, lint, test, bench, requirements
)
