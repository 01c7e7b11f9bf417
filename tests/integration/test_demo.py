"""`make demo` as a new user meets it: in a fresh copy of the tree that only its owner may enter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ..running import PROJECT

VENV = Path(sys.prefix)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what git tracks; the virtual environment is shared, to save its installation."""
    place = tmp_path_factory.mktemp("only mine") / "checkout"
    place.mkdir(mode=0o700)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, place / name)
    yield place
    make(place, "demo-clean")


def make(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        ["make", *words, f"VENV={VENV}"],
        cwd=checkout,
        env={**kept, "ENV": "prod"},  # an ENV of the calling shell must not matter
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def shown(checkout: Path) -> str:
    """What the first run prints."""
    ran = make(checkout, "demo")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_demo_runs_every_verb(shown: str) -> None:
    for verb in ("backup", "verify", "list", "prune"):
        assert f"$ invoke {verb} --env demo" in shown
    assert "verified, every file and every row" in shown


def test_its_restore_commands_work_as_printed(shown: str, checkout: Path) -> None:
    block = re.search(r"^  export PATH.*?^  pg_restore .*?\n.*?\n", shown, re.MULTILINE | re.DOTALL)
    assert block, shown
    done = subprocess.run(
        [
            "bash",
            "-eu",
            "-c",
            block[0] + "psql -At -d chat_restored -c 'SELECT count(*) FROM messages'",
        ],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 1000


def test_it_tells_no_password(shown: str, checkout: Path) -> None:
    assert (checkout / ".demo/server/password").read_text().strip() not in shown


def test_running_it_again_works_and_the_make_targets_follow_it(shown: str, checkout: Path) -> None:
    assert make(checkout, "demo").returncode == 0
    listed = make(checkout, "list", "ENV=demo")
    assert listed.stdout.count("chat_demo_") == 2
    pruned = make(checkout, "prune", "ENV=demo", "APPLY=1")
    assert pruned.returncode == 0, pruned.stderr
    verified = make(checkout, "verify", "ENV=demo", "FILE=latest", "JSON=1")
    assert '"outcome": "passed"' in verified.stdout
    elsewhere = checkout / "another place"
    elsewhere.mkdir()
    backup = make(checkout, "backup", "ENV=demo", f"DEST={elsewhere}")
    assert backup.returncode == 0, backup.stderr
    assert len(list(elsewhere.glob("chat_demo_*"))) == 1


def test_dev_is_what_env_local_describes(shown: str, checkout: Path) -> None:
    lines = (checkout / ".env.demo").read_text().splitlines()
    kept = [line for line in lines if line.startswith("DATABASE_URL")]
    (checkout / ".env.local").write_text("\n".join(kept))
    (checkout / ".env.local").chmod(0o600)
    ran = make(checkout, "backup", "ENV=dev")
    assert ran.returncode == 0, ran.stderr
    assert len(list((checkout / "backups/dev").glob("chat_dev_*"))) == 1
    (checkout / ".env.local").unlink()


def test_cleaning_up_stops_the_server_and_leaves_nothing(shown: str, checkout: Path) -> None:
    pid = int((checkout / ".demo/server/data/postmaster.pid").read_text().splitlines()[0])
    assert make(checkout, "demo-clean").returncode == 0
    # whoever adopted it may not have noticed its end yet
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not (checkout / ".demo").exists()
    assert not (checkout / ".env.demo").exists()


def test_an_env_file_of_somebody_else_is_left_alone(checkout: Path) -> None:
    env_file = checkout / ".env.demo"
    env_file.write_text("DATABASE_URL=postgresql://mine/mine\n")
    ran = make(checkout, "demo")
    assert ran.returncode != 0
    assert "was not written by make demo" in ran.stderr
    assert env_file.read_text() == "DATABASE_URL=postgresql://mine/mine\n"
    env_file.unlink()
