"""The control machine's verbs: those of a backup host, run where the inventory says, and more."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from helpers import asked, cli, demo, destination, entry, envfiles, inventory, remote
from helpers import fetch as fetching
from helpers.entry import Answer
from helpers.errors import ConfigError
from helpers.inventory import Host
from helpers.settings import HOST_DIR

ROOT = Path(__file__).resolve().parent
asked.checkout = ROOT
LOOKS_ITSELF = {"status", "report"}
"""Verbs that go to the hosts of inventories by themselves: they put together what each says."""

PYTHON_FILES = "helpers tests tasks.py"


def _routed(verb: Task[Callable[..., None]]) -> Task[Callable[..., None]]:
    """The same verb, run where its environment's inventory says."""

    @functools.wraps(verb.body)
    def body(context: Context, *args: object, **options: object) -> None:
        as_json = bool(options.get("json"))
        with entry.guard(verb.name, as_json=as_json):
            environment = _environment(options.get("env"))
            hosts = _remote(environment)
            if environment and hosts:
                destination.refuse_password(options.get("to"))
                words = remote.argv(verb.name, environment, options)
                replies = remote.ask(ROOT, environment, hosts, words)
        if not hosts:
            verb.body(context, *args, **options)
        elif code := remote.show(verb.name, replies, as_json=as_json):
            raise Exit(code=code)

    return Task(body, name=verb.name, help=verb.help)


def _environment(env: object) -> str | None:
    """The environment that a verb is about; None where only its settings can tell."""
    described = envfiles.described(ROOT, HOST_DIR)
    named = env or os.environ.get("BACKUP_ENV")
    return str(named) if named else described[0] if len(described) == 1 else None


def _remote(environment: str | None) -> list[Host]:
    """The hosts of an environment whose backups are not here; some here, some not is an error."""
    hosts = inventory.hosts(ROOT, environment) if environment else []
    remote_ones = [host for host in hosts if not host.local]
    if remote_ones and len(remote_ones) < len(hosts):
        raise ConfigError(
            f"The inventory of {environment} has this machine and others in it.",
            "Give this machine an environment of its own.",
        )
    return remote_ones


@task(
    help={
        "env": "Environment: the inventory to deploy",
        "check": "Change nothing, show what would change",
        "args": "More arguments for ansible-playbook, such as --ask-vault-pass",
    }
)
def deploy(context: Context, env: str, check: bool = False, args: str = "") -> None:
    """Make backup hosts of the machines in an environment's inventory, or bring them up to date."""
    with entry.guard("deploy", as_json=False):
        # Ansible itself asks for a vault's password, and passes over a group without hosts.
        read: Callable[[Path, str], object]
        read = inventory.find if "vault" in args else inventory.hosts
        read(ROOT, env)
    dry = " --check --diff" if check else ""
    program = Path(sys.executable).with_name("ansible-playbook")
    with context.cd(str(ROOT)):
        command = f"{program} deploy-backups.yml --inventory inventories/{env}{dry} {args}".rstrip()
        context.run(command, pty=sys.stdout.isatty())


@task(
    help={
        "env": "Environment: the inventory to fetch from",
        "file": "A backup's name, or `latest`",
        "dest": "Where to put it; backups/<environment> by default",
    }
)
def fetch(_context: Context, env: str, file: str = "latest", dest: str | None = None) -> None:
    """Bring a backup from its host to this machine, and verify it here."""

    def work() -> Answer:
        hosts = _remote(env)
        place = Path(dest).expanduser().absolute() if dest else ROOT / "backups" / env
        path = fetching.fetch(ROOT, env, hosts, file, place)
        return Answer(
            {}, f"{path.name}: fetched and verified, every file and every row.\nIt is {path}"
        )

    entry.run("fetch", work, as_json=False)


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
        "ansiblelint",
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
        "only": "Some of the databases: vector, text, narrow, small",
        "ours": "Leave out what we compare with",
        "write": "Keep the report in docs/performance.md",
    }
)
def bench(
    context: Context,
    megabytes: int = 500,
    rounds: int = 3,
    only: str = "",
    ours: bool = False,
    write: bool = False,
) -> None:
    """Measure backup and verify beside pg_dump on generated databases."""
    given = f"--megabytes {megabytes} --rounds {rounds}"
    given += f" --variants {only}" if only else ""
    given += (" --ours" if ours else "") + (" --write" if write else "")
    _tool(context, f"tests.bench {given}")


@task(help={"rounds": "Backups to take and restore, shared out among the majors at hand"})
def soak(context: Context, rounds: int = 1000) -> None:
    """Back up a small database under writers and DDL, restore and check it, again and again."""
    _tool(context, f"tests.soak --rounds {rounds}")


@task(
    help={
        "rounds": "How many faults in all, of every kind",
        "seed": "What draws them; the time by default, and the report has it",
        "minutes": "Begin no round after so many",
        "only": "Some of the kinds of rounds: kill, cut, ext4 ...",
        "write": "Keep the report in docs/reliability.md",
    }
)
def chaos(
    context: Context,
    rounds: int = 200,
    seed: int = 0,
    minutes: int = 0,
    only: str = "",
    write: bool = False,
) -> None:
    """Try to make it lose data: kill, cut the power, fill disks, end servers, set clocks."""
    drawn = f" --seed {seed}" if seed else ""
    drawn += f" --minutes {minutes}" if minutes else ""
    drawn += f" --only {only}" if only else ""
    keep = " --write" if write else ""
    _tool(context, "tests.packages")
    _tool(context, f"tests.chaos --rounds {rounds}{drawn}{keep}")


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
        context.run(
            f"{sys.executable} -m {command}",
            echo=True,
            pty=sys.stdout.isatty(),
            # ansible.cfg refuses to go on without an inventory, and ansible-lint names none.
            env={"ANSIBLE_INVENTORY": "inventories/dev"},
        )


ns = Collection(
    *(verb if verb.name in LOOKS_ITSELF else _routed(verb) for verb in cli.VERBS),
    deploy,
    fetch,
    demo_,
    demo_clean,
    lint,
    test,
    bench,
    soak,
    chaos,
    requirements,
)
