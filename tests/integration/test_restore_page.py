"""docs/restore.md, run as it stands: each command of both ways, and what the page says it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers import sampledata
from helpers.scratch import ScratchServer

from ..running import PROJECT, environment
from ..servers import SETTINGS, Database, Server
from .disturbing import take

PAGE = (PROJECT / "docs/restore.md").read_text(encoding="utf-8")
NAME = re.compile(r"chat_prod_\d{8}T\d{6}Z")
ELSEWHERE = ("cd ", "git ", "export ", "make list", "make fetch", "make deploy", "make backup")
"""Commands that need another machine, or change only the shell that they are typed into."""

_BLOCK = re.compile(r"^ *```\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"^\d{4}-\d\d-\d\dT\S+ .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A command of the page, and what it prints there."""

    command: str
    said: str


def steps(part: str) -> list[Step]:
    """The commands that a part of the page gives a person; what root types at `#` is not ours."""
    text = PAGE.split(f"\n## {part}\n")[1].split("\n## ", maxsplit=1)[0]
    pieces = [
        piece
        for block in _BLOCK.findall(text)
        for piece in re.split(r"^(?=[$#] )", textwrap.dedent(block), flags=re.MULTILINE)
    ]
    return [step for piece in pieces if piece.startswith("$ ") for step in [_step(piece[2:])]]


def _step(piece: str) -> Step:
    lines = piece.splitlines()
    end = lines.index("END") + 1 if "<<'END'" in lines[0] else 1
    return Step("\n".join(lines[:end]), "\n".join(lines[end:]))


def shape(said: str) -> list[str]:
    """Its lines without numbers, names of backups and the width of columns."""
    plain = re.sub(r"\d[\d,.]*", "0", NAME.sub("BACKUP", _NOTE.sub("", said)))
    return [" ".join(re.sub("-{3,}", "-", line).split()) for line in plain.splitlines() if line]


@dataclass(frozen=True)
class World:
    """The servers that the page calls db and db2, and a control machine's checkout."""

    old: Server
    new: Server
    checkout: Path
    backup: Path

    def run(self, command: str, cwd: Path) -> str:
        """What a command of the page prints, with this world's names in place of the page's."""
        names = {"db2.example.com": self.new, "db.example.com": self.old}
        for host, server in names.items():
            command = command.replace(host, f"127.0.0.1:{server.scratch.port}")
        command = NAME.sub(self.backup.name, command)
        if command.startswith("make "):
            # what git or another worktree touched last does not matter here
            command += f" VENV='{sys.prefix}' --old-file='{sys.prefix}/host'"
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=cwd,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout

    def follow(self, part: str, cwd: Path) -> None:
        """Run a part of the page; all that its commands say must stand there, in that shape."""
        followed = 0
        for step in steps(part):
            if not step.command.startswith(ELSEWHERE):
                said, written = shape(self.run(step.command, cwd)), shape(self.named(step.said))
                assert set(said) <= set(written), (step.command, said, written)
                assert said[:1] + said[-1:] == written[:1] + written[-1:], (step.command, said)
                followed += 1
        assert followed >= 5, f"{part}: {followed} commands"

    def named(self, said: str) -> str:
        """What the page prints, with the addresses of this world."""
        return re.sub(r"db2?\.example\.com(:5432)?", "127.0.0.1:1", said)

    def _environment(self) -> dict[str, str]:
        passwords = self.checkout / "pgpass"
        return {
            **{key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ},
            "PATH": f"{self.new.bin_dir}:{os.environ['PATH']}",
            "PGPASSFILE": str(passwords),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.new.scratch.port),
            "PGUSER": "postgres",
        }


@pytest.fixture(scope="module")
def servers_of_the_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two that no other test has been on: the page counts roles."""
    place = tmp_path_factory.mktemp("page")
    with (
        ScratchServer(place / "old", bound=True, settings=SETTINGS) as old,
        ScratchServer(place / "new", bound=True, settings=SETTINGS) as new,
    ):
        yield [Server(18, old), Server(18, new)]


@pytest.fixture(scope="module")
def world(servers_of_the_page: list[Server], tmp_path_factory: pytest.TempPathFactory) -> World:
    """The chat application's database on the old server, and a backup of it."""
    old, new = servers_of_the_page
    checkout = tmp_path_factory.mktemp("control")
    for name in ("Makefile", "tasks.py"):
        shutil.copy2(PROJECT / name, checkout / name)
    (checkout / "helpers").symlink_to(PROJECT / "helpers")
    passwords = checkout / "pgpass"
    passwords.touch(mode=0o600)
    passwords.write_text(
        "".join(f"*:{s.scratch.port}:*:postgres:{s.scratch.password}\n" for s in (old, new))
    )
    old.maintenance.execute(
        "CREATE ROLE app LOGIN; CREATE ROLE reporting; CREATE ROLE pgbackup LOGIN;"
        "GRANT pg_read_all_data TO pgbackup"
    )
    old.maintenance.execute("CREATE DATABASE chat OWNER app")
    chat = Database("chat", old)
    chat.execute("CREATE EXTENSION vector")
    chat.execute(
        f"SET ROLE app; SET search_path = public; {sampledata.statements(40, 60)};"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reporting"
    )
    store = checkout / "backups/prod"
    store.mkdir(parents=True)
    name = take(environment(chat.url, store, BACKUP_ENV="prod"), checkout)
    return World(old, new, checkout, store / name)


@pytest.fixture
def bare(world: World) -> World:
    """The same, with nothing on the new server."""
    postgres = world.new.maintenance
    for (name,) in postgres.query("SELECT datname FROM pg_database WHERE datname ~ '^chat'"):
        postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    for (name,) in postgres.query("SELECT rolname FROM pg_roles WHERE rolname !~ '^(pg_|postg)'"):
        postgres.execute(f'DROP ROLE "{name}"')
    return world


def test_the_way_without_the_toolkit_is_as_the_page_says(bare: World) -> None:
    bare.follow("Without it", bare.backup)


def test_the_way_with_the_toolkit_is_as_the_page_says(bare: World) -> None:
    bare.follow("With this toolkit", bare.checkout)
    # A table that was moved away still has its foreign keys, checked with its owner's rights.
    Database("chat", bare.old).execute("SET ROLE app; DELETE FROM public.messages")


def test_the_errors_that_it_helps_with_are_worded_so(bare: World) -> None:
    restore = "pg_restore --exit-on-error --dbname=chat ."
    anybodys = f"{restore} --no-owner --no-acl"
    for failing, error in {
        f"createdb chat; {restore}": 'role "app" does not exist',
        f"{anybodys}; {anybodys}": 'type "conversation_status" already exists',
        "createdb chat": 'database "chat" already exists',
    }.items():
        assert error in PAGE
        assert error in bare.run(failing, bare.backup)
