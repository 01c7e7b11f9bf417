"""What a person sees: a live display on a terminal, plain lines elsewhere, and only answers."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from helpers import progress

from ..running import argv, environment, pgbackup
from ..servers import Database


@pytest.fixture
def env(database: Database, tmp_path: Path) -> dict[str, str]:
    store = tmp_path / "store"
    store.mkdir()
    database.execute(
        "CREATE TABLE wide (id int, body text);"
        "INSERT INTO wide SELECT n, repeat(md5(n::text), 500) FROM generate_series(1, 3000) AS n"
    )
    return environment(database.url, store, TERM="xterm-256color", COLUMNS="120")


def on_terminal(words: tuple[str, ...], env: dict[str, str], cwd: Path) -> tuple[int, str]:
    """Run on a terminal of its own; the exit code and all that appeared there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv(*words), env=env, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other end is closed: the process has ended
    os.close(ours)
    return process.wait(), shown.decode()


def test_a_terminal_shows_tables_bytes_rate_and_time_left(
    env: dict[str, str], tmp_path: Path
) -> None:
    code, shown = on_terminal(("backup",), env, tmp_path)
    assert code == 0, shown
    assert re.search(r"dump .*1/1 tables.*B/s.*\d:\d\d:\d\d", shown), shown
    assert re.search(r"verify .*1/1 tables", shown), shown


def test_without_a_terminal_there_are_plain_lines(env: dict[str, str], tmp_path: Path) -> None:
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ dump: 1 tables, ", ran.err, re.MULTILINE)
    assert "\x1b" not in ran.said


def test_quiet_leaves_only_the_answer(env: dict[str, str], tmp_path: Path) -> None:
    ran = pgbackup("backup", "--quiet", env=env, cwd=tmp_path)
    assert ran.err == ""
    assert ran.out.startswith("Backup ")
    code, shown = on_terminal(("backup", "--quiet"), env, tmp_path)
    assert code == 0
    assert "B/s" not in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_a_note_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    shown = progress.Quiet(silent=False)
    if terminal:
        monkeypatch.setenv("NO_COLOR", "1")
        bars = Bars(console=Console(stderr=True, force_terminal=False))
        shown = progress.Live(bars)
    shown.note("table \x1b[2J\x9b31m\u202egnp")
    said = capsys.readouterr().err
    assert "\\x1b[2J" in said
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)
