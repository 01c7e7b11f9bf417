"""The playbook that creates the role, run by ansible-playbook against a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from ..running import PROJECT, SECRET
from ..servers import Database

ADMIN = "adm1n-Pa55"


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A name for the role, which is gone afterwards; and an administrator with a known password."""
    name = f"backs_up_{os.getpid()}"
    database.execute(f"CREATE ROLE admin_{name} SUPERUSER LOGIN PASSWORD '{ADMIN}'")
    database.execute("CREATE TABLE notes (id int)")
    yield name
    for one in (name, f"admin_{name}"):
        if database.query("SELECT FROM pg_roles WHERE rolname = %s", one):
            database.execute(f"DROP OWNED BY {one}; DROP ROLE {one}")


def url(database: Database, user: str, password: str) -> str:
    return f"postgresql://{user}:{quote(password)}@{database.url.rsplit('@', maxsplit=1)[1]}"


def play(place: Path, entries: list[dict[str, object]], *words: str) -> tuple[int, bool, str]:
    """Run the playbook: its code, whether something changed, and all it said."""
    inputs = place / "inputs.json"
    inputs.write_text(json.dumps({"backup_role_databases": entries}))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "playbooks/create-backup-role.yml",
            "--inventory=inventories/dev",
            f"--extra-vars=@{inputs}",
            "-vv",
            "--diff",
            *words,
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert SECRET not in said
    assert ADMIN not in said
    return done.returncode, "changed=0" not in done.stdout, said


def test_the_playbook_makes_the_role_once_and_says_what_it_does(
    database: Database, role: str, tmp_path: Path
) -> None:
    admin = url(database, f"admin_{role}", ADMIN)
    entry: dict[str, object] = {"database": database.name, "name": role, "admin": admin}
    entry["password"] = SECRET

    code, changed, said = play(tmp_path, [entry], "--check")
    assert (code, changed) == (0, True), said
    assert "pg_read_all_data" in said
    assert not database.query("SELECT FROM pg_roles WHERE rolname = %s", role)

    code, changed, said = play(tmp_path, [entry])
    assert (code, changed) == (0, True), said
    with psycopg.connect(url(database, role, SECRET)) as connection:
        assert connection.execute("SELECT * FROM notes").fetchall() == []

    code, changed, said = play(tmp_path, [entry])
    assert (code, changed) == (0, False), said

    database.execute(f"ALTER ROLE {role} CREATEDB")
    code, changed, said = play(tmp_path, [entry])
    assert (code, changed) == (2, False), said
    assert "it has CREATEDB" in said


def test_the_playbook_says_that_nothing_is_asked_for(tmp_path: Path) -> None:
    code, changed, said = play(tmp_path, [])
    assert (code, changed) == (2, False)
    assert "backup_role_databases" in said
