"""The database's role, made from the backup host: where only that reaches the database."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.running import SECRET
from tests.servers import Database

from .checkout import Play
from .deployment import Deployed

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

ROLE = "made_from_the_host"


def play(deployed: Deployed, chat: Database, **inputs: object) -> Play:
    """Run the playbook; no secret is ever shown."""
    entry = {"database": chat.name, "name": ROLE, "admin": chat.url, "password": SECRET}
    given = deployed.checkout.path / "role.json"
    given.write_text(json.dumps({"backup_role_databases": [entry], **inputs}))
    words = ("playbooks/create-backup-role.yml", "-i", "inventories/prod", "-vv", "--diff")
    ran = deployed.checkout.run("ansible-playbook", *words, f"--extra-vars=@{given}")
    assert SECRET not in ran.said
    assert chat.server.scratch.password not in ran.said
    return Play(ran.code, ran.out, ran.err).succeeded()


def test_the_host_makes_the_role_once_as_whichever_user(deployed: Deployed, chat: Database) -> None:
    try:
        assert play(deployed, chat, backup_role_run_on="host").changes == 1
        login = chat.url.replace(f"postgres:{chat.server.scratch.password}@", f"{ROLE}:{SECRET}@")
        with psycopg.connect(login) as connection:
            count = connection.execute("SELECT count(*) FROM conversations").fetchone()
        assert count == (200,)
        again = play(deployed, chat, backup_role_run_on="host", backup_role_become_user="nobody")
        assert again.changes == 0
    finally:
        chat.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")
