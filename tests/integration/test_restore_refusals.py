"""What a restore refuses: production, damage, and what was asked wrongly."""

from __future__ import annotations

import pytest

from ..running import pgbackup
from .disturbing import take
from .restoring import Restoring


def test_production_is_touched_only_when_it_is_named_again(chat: Restoring) -> None:
    env = {**chat.env, "BACKUP_ENV": "prod"}
    name = take(env, chat.cwd)
    for words in ((), ("--confirm=other",)):
        ran = chat.run(*words, file=name, BACKUP_ENV="prod")
        assert ran.code == 8
        assert "--confirm" in ran.err
    assert chat.databases() == []
    ran = chat.run(f"--confirm={chat.place('target')}", file=name, BACKUP_ENV="prod")
    assert ran.code == 0, ran.said


def test_productions_database_is_known_by_its_address_and_by_its_backup(chat: Restoring) -> None:
    url = chat.source.url
    (chat.cwd / ".env.prod").write_text(f"DATABASE_URL={url}\n")
    (chat.cwd / ".env.prod").chmod(0o600)
    by_url = f"--to={url.replace('127.0.0.1', 'localhost')}"
    ran = chat.run(by_url, "--replace", to=None)
    assert ran.code == 8
    assert "environment prod" in ran.err
    (chat.cwd / ".env.prod").unlink()
    name = take({**chat.env, "BACKUP_ENV": "prod"}, chat.cwd)
    ran = chat.run(by_url, "--replace", to=None, file=str(chat.store / name))
    assert ran.code == 8
    assert "very database" in ran.err


def test_a_damaged_backup_is_refused_before_anything_happens(chat: Restoring) -> None:
    data = next(chat.store.glob("*/*.dat*"))
    data.write_bytes(data.read_bytes()[:-1])
    ran = chat.run()
    assert ran.code == 5
    assert chat.databases() == []


def test_a_suspect_backup_is_refused_until_it_is_accepted(chat: Restoring) -> None:
    chat.source.execute("DELETE FROM app.messages")
    ran = pgbackup("backup", "--json", env=chat.env, cwd=chat.cwd)
    assert ran.code == 8
    ran = chat.run(file="latest")
    assert ran.code == 8
    assert "suspect" in ran.err
    assert pgbackup("accept", "--file=latest", env=chat.env, cwd=chat.cwd).code == 0
    assert chat.run(file="latest").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--to=chat", "--only-table=a", "--replace"), 2),
        ((), 2),
        (("--to=template1",), 8),
        (("--to=" + "x" * 64,), 2),
        (("--to=postgresql://127.0.0.1/",), 2),
        (("--to=postgresql://127.0.0.1:1/chat",), 3),
        (("--to=postgresql://a@b@c/chat",), 2),
        (("--to=chat", "--only-table=nothing"), 2),
    ],
    ids=["excluding", "no target", "template", "long", "no name", "nobody", "bad url", "no table"],
)
def test_a_wrong_command_line_ends_with_its_code(
    chat: Restoring, words: tuple[str, ...], code: int
) -> None:
    ran = chat.run(*words, to=None)
    assert ran.code == code, ran.said


def test_a_dry_run_says_what_would_be_done_and_does_nothing(chat: Restoring) -> None:
    ran = chat.run("--dry-run")
    assert ran.code == 0
    assert f"name the new database {chat.place('target')}" in ran.out
    assert chat.databases() == []
