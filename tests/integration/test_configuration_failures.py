"""Mistakes in env files and on the command line: each told with where it is, and nothing done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ..running import SECRET, environment, pgbackup
from ..servers import Database, Server
from .disturbing import take
from .test_database_failures import assert_told, untouched


@pytest.fixture(scope="module")
def source(server: Server) -> Iterator[Database]:
    with server.database() as database:
        database.execute("CREATE TABLE notes AS SELECT generate_series(1, 100) AS id")
        yield database


@pytest.fixture(scope="module")
def store(source: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one backup; the failures below must leave it alone."""
    place = tmp_path_factory.mktemp("store")
    take(environment(source.url, place), place)
    return place


@pytest.fixture
def bare(store: Path) -> dict[str, str]:
    """A process environment that names a store, and neither an environment nor a database."""
    env = environment(None, store)
    del env["BACKUP_ENV"]
    return env


def write(place: Path, files: Mapping[str, str]) -> None:
    """Env files that only their owner can read."""
    for name, text in files.items():
        (place / name).write_text(text)
        (place / name).chmod(0o600)


URL = f"DATABASE_URL=postgresql://app:{SECRET}@127.0.0.1/app\n"

MISTAKES: dict[str, tuple[list[str], dict[str, str], dict[str, str], list[str]]] = {
    "no file": (["--env", "stage"], {}, {}, [".env.stage", "no env file was found"]),
    "nothing named": ([], {}, {}, ["No environment is named", ".env.local"]),
    "dev or prod": ([], {".env": URL, ".env.local": URL}, {}, ["is of dev", "is of prod"]),
    "open quote": (
        ["--env", "test"],
        {".env.test": f'{URL}PGPASSWORD="{SECRET}\n'},
        {},
        [".env.test line 2", "quote"],
    ),
    "unknown key": (
        ["--env", "test"],
        {".env.test": f"{URL}KEEP_DALY=3\n"},
        {},
        [".env.test line 2", "KEEP_DALY", "KEEP_DAILY"],
    ),
    "option against process": (
        ["--env", "test"],
        {".env.test": URL},
        {"BACKUP_ENV": "prod"},
        ["--env says 'test'", "'prod'"],
    ),
    "option against file": (
        ["--env", "test"],
        {".env.test": f"{URL}BACKUP_ENV=prod\n"},
        {},
        ["--env says 'test'", "'prod'", ".env.test"],
    ),
    "two files": (
        ["--env", "dev"],
        {".env.dev": f"{URL}KEEP_LAST=1\n", ".env.local": f"{URL}KEEP_LAST=2\n"},
        {},
        ["KEEP_LAST", ".env.dev line 2", ".env.local line 2"],
    ),
    "two passwords": (
        ["--env", "test"],
        {".env.test": f"{URL}PGPASSWORD=other-{SECRET}\n"},
        {},
        ["disagree on the password", "DATABASE_URL", "PGPASSWORD"],
    ),
    "no number": (
        ["--env", "test"],
        {".env.test": f"{URL}BACKUP_JOBS=many\n"},
        {},
        [".env.test line 2", "BACKUP_JOBS"],
    ),
    "climbing name": (["--env", "../test"], {}, {}, ["'../test'", "letters, digits and hyphens"]),
    "two words": (["--env", "te st"], {}, {}, ["'te st'", "letters, digits and hyphens"]),
    "template": (["--env", "example"], {".env.example": URL}, {}, ["'example'"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_told_with_its_place_and_nothing_is_done(
    bare: dict[str, str], store: Path, source: Database, tmp_path: Path, mistake: str
) -> None:
    words, files, extra, says = MISTAKES[mistake]
    write(tmp_path, files)
    with untouched(store):
        ran = pgbackup("backup", "--json", *words, env={**bare, **extra}, cwd=tmp_path)
        assert_told(ran, {}, 2, *says)
    for name in files:
        (tmp_path / name).unlink()
    write(tmp_path, {".env.test": f"DATABASE_URL={source.url}\n"})
    take(bare, tmp_path)


@pytest.mark.parametrize("verb", [["list"], ["prune", "--apply"], ["verify", "--file", "latest"]])
def test_every_verb_refuses_a_configuration_with_a_mistake(
    bare: dict[str, str], store: Path, tmp_path: Path, verb: list[str]
) -> None:
    write(tmp_path, {".env.test": f"{URL}KEEP_DALY=3\n"})
    with untouched(store):
        ran = pgbackup(*verb, "--env", "test", "--json", env=bare, cwd=tmp_path)
        assert_told(ran, {}, 2, "KEEP_DALY", "KEEP_DAILY")


def test_several_mistakes_are_told_together(
    bare: dict[str, str], store: Path, tmp_path: Path
) -> None:
    write(tmp_path, {".env.test": "KEEP_DALY=3\nBACKUP_JOBS=many\n"})
    with untouched(store):
        ran = pgbackup("backup", "--env", "test", "--json", env=bare, cwd=tmp_path)
        assert_told(ran, {}, 2, "KEEP_DALY", "BACKUP_JOBS", "No database is named")


def test_an_env_file_that_others_can_read_is_a_warning_beside_the_answer(
    bare: dict[str, str], source: Database, tmp_path: Path
) -> None:
    file = tmp_path / ".env.test"
    write(tmp_path, {file.name: f"DATABASE_URL={source.url}\n"})
    quiet = pgbackup("backup", "--json", env=bare, cwd=tmp_path)
    assert "Warning" not in quiet.err
    file.chmod(0o644)
    ran = pgbackup("backup", "--json", env=bare, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert ran.json["backup"]["name"]
    assert f"Warning: {file}: other users can read" in ran.err
    assert f"chmod 600 {file}" in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backup", "--no-such-option"], "--no-such-option"),
        (["backup", "no-such-verb"], "no-such-verb"),
        (["no-such-verb"], "no-such-verb"),
        (["backup", "--env"], "env"),
        (["verify"], "file"),
    ],
)
def test_a_misspelt_command_line_is_told_with_the_way_to_help(
    bare: dict[str, str], store: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    with untouched(store):
        ran = pgbackup(*words, env=bare, cwd=tmp_path)
    assert ran.code == 2, ran.said
    assert not ran.out
    assert says in ran.err
    assert "--help" in ran.err


@pytest.mark.parametrize(
    "words", [["backup", "--json", "--no-such-option"], ["no-such-verb", "--json"]]
)
def test_a_program_gets_a_misspelt_command_line_as_a_document(
    bare: dict[str, str], tmp_path: Path, words: list[str]
) -> None:
    assert_told(pgbackup(*words, env=bare, cwd=tmp_path), {}, 2, "no-such", "--help")
