"""What a server must have for a backup: said one by one, and all at once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import postgres, readiness
from helpers.manifest import ExtensionPart
from helpers.readiness import Need
from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from ..running import environment, pgbackup
from ..servers import MAJORS, Database, Server, Servers
from .disturbing import fill, take, tmpfs
from .restoring import Restoring

NOTHING = Need(
    major=13,
    roles=frozenset(),
    owners=frozenset(),
    extensions=(),
    locales=(("libc", "C.UTF-8"),),
    encoding="UTF8",
    size=0,
    jobs=2,
    creates=True,
)
MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "major": ({"major": 99}, "the server is PostgreSQL 18, the backup of 99"),
    "roles": ({"roles": frozenset({"ann", "bob"})}, "2 roles are missing: ann, bob"),
    "extension": (
        {"extensions": (ExtensionPart(name="nowhere", version="1.0", schema="public"),)},
        "extension nowhere 1.0 is not installed on the server",
    ),
    "its version": (
        {"extensions": (ExtensionPart(name="hstore", version="99.1", schema="public"),)},
        "on the server, 99.1 in the backup",
    ),
    "locale": (
        {"locales": (("libc", "xx_XX.UTF-8"),)},
        "the server does not know the locale 'xx_XX.UTF-8' (libc)",
    ),
    "provider": (
        {"locales": (("icu", "en-US"),)},
        "the server does not know the locale 'en-US' (icu)",
    ),
    "space": ({"size": 1 << 60}, "make room"),
    "connections": ({"jobs": 500}, "the server has"),
}


def said(server: Server | ScratchServer, need: Need) -> list[str]:
    with postgres.connect(postgres.parameters(server.url())) as session:
        return readiness.problems(session, readiness.server(session), need)


def test_a_server_that_has_everything_is_ready(any_server: Server) -> None:
    assert said(any_server, NOTHING) == []


@pytest.mark.parametrize("what", MISSING)
def test_one_thing_that_is_missing_is_said_alone(server: Server, what: str) -> None:
    changes, sentence = MISSING[what]
    (problem,) = said(server, replace(NOTHING, **changes))
    assert sentence in problem


def test_all_that_is_missing_is_said_together(server: Server) -> None:
    need = NOTHING
    for changes, _ in MISSING.values():
        for name, value in changes.items():
            grows = name in {"extensions", "locales"}
            need = replace(need, **{name: getattr(need, name) + value if grows else value})
    problems = said(server, need)
    assert len(problems) == len(MISSING)
    for _, sentence in MISSING.values():
        assert any(sentence in problem for problem in problems), sentence


def test_a_collation_of_a_later_version_is_refused(servers: Servers) -> None:
    (problem,) = said(servers.get(16), replace(NOTHING, locales=(("builtin", "C.UTF-8"),)))
    assert "builtin's: restore into 17 or newer" in problem


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchServer]:
    """A server whose system knows two locales more: aa_AA of UTF-8, bb_BB of Latin 1."""
    place = tmp_path_factory.mktemp("foreign")
    for name, charmap in (("aa_AA.utf8", "UTF-8"), ("bb_BB", "ISO-8859-1"), ("C.utf8", "UTF-8")):
        made = ["localedef", "--no-archive", "-c", "-i", "POSIX", "-f", charmap, place / name]
        try:
            subprocess.run(made, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("no localedef is installed here")
    if not (place / "aa_AA.utf8").exists():
        pytest.skip("localedef has no sources of locales here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCPATH", str(place))
        with ScratchServer(place / "server", bound=True, settings=UNSAFE_BUT_FAST) as running:
            yield running


def test_a_locale_of_another_encoding_is_said(foreign: ScratchServer) -> None:
    (problem,) = said(foreign, replace(NOTHING, locales=(("libc", "bb_BB"),)))
    assert "is not of the backup's encoding, UTF8" in problem


def refused(source: str, target: Server, tmp_path: Path, store: Path) -> str:
    """What a restore of a backup of the database at URL `source` is refused with."""
    env = environment(source, store)
    name = take(env, tmp_path)
    ran = pgbackup(
        "restore", f"--file={name}", f"--to={target.url('nowhere')}", env=env, cwd=tmp_path
    )
    assert ran.code == 8, ran.said
    assert "Nothing was changed" in ran.err
    assert target.maintenance.query("SELECT 1 FROM pg_database WHERE datname = 'nowhere'") == []
    return ran.err


def test_a_database_of_a_locale_that_the_server_lacks_is_refused(
    foreign: ScratchServer, server: Server, store: Path, tmp_path: Path
) -> None:
    source = Database("abroad", Server(18, foreign))
    source.server.maintenance.execute(
        "CREATE DATABASE abroad TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'aa_AA.UTF-8'"
    )
    source.execute("CREATE TABLE notes AS SELECT generate_series(1, 100) AS id")
    assert "does not know the locale 'aa_AA.UTF-8'" in refused(source.url, server, tmp_path, store)


def test_a_database_of_icu_and_a_missing_role_are_refused_where_there_are_none(
    servers: Servers, server: Server, store: Path, tmp_path: Path
) -> None:
    options = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    with servers.get(15).database(options) as source:
        role = f"{source.name}_writer"
        source.execute(
            f"CREATE TABLE notes (); CREATE ROLE {role}; ALTER TABLE notes OWNER TO {role}"
        )
        try:
            said = refused(source.url, server, tmp_path, store)
        finally:
            source.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert "does not know the locale 'en-US' (icu)" in said
    assert f"1 role is missing: {role}" in said


def test_a_server_whose_disk_is_too_small_is_refused(chat: Restoring, tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "disk", "size=200m") as place,
        ScratchServer(place / "server", bound=True, settings=UNSAFE_BUT_FAST) as small,
    ):
        fill(place, leave=3 << 20)
        ran = chat.run(f"--to={small.url('nowhere')}", to=None)
        assert ran.code == 8, ran.said
        assert "make room" in ran.err
        (place / "ballast").unlink()
        assert chat.run(f"--to={small.url('nowhere')}", to=None).code == 0


@pytest.mark.parametrize("any_server", MAJORS[1:], indirect=True, scope="session")
def test_everything_that_is_missing_is_said_at_once(chat: Restoring, any_server: Server) -> None:
    name = chat.source.name
    chat.source.execute(
        f'CREATE ROLE "{name}_one"; CREATE ROLE "{name}_two"; ALTER TABLE app.messages OWNER TO '
        f'"{name}_one"; GRANT SELECT ON app.conversations TO "{name}_two";'
        + ("CREATE EXTENSION vector" if chat.server.has_vector else "")
    )
    any_server.maintenance.execute(
        f"CREATE ROLE \"{name}_poor\" LOGIN PASSWORD 'x' CONNECTION LIMIT 2"
    )
    try:
        chat.name = take(chat.env, chat.cwd)
        url = any_server.url("nowhere").replace(
            f"//postgres:{any_server.scratch.password}@", f"//{name}_poor:x@"
        )
        ran = chat.run(f"--to={url}", to=None)
        assert ran.code == 8, ran.said
        for part in (
            f"PostgreSQL {any_server.major}, the backup of 18",
            f"{name}_one, {name}_two",
            "CREATEDB",
            "connections left",
            *(["extension vector"] if not any_server.has_vector else []),
        ):
            assert part in ran.err, part
        assert (
            any_server.maintenance.query("SELECT 1 FROM pg_database WHERE datname = 'nowhere'")
            == []
        )
    finally:
        any_server.maintenance.execute(f'DROP ROLE "{name}_poor"')
        chat.source.execute(
            f'ALTER TABLE app.messages OWNER TO postgres; DROP OWNED BY "{name}_one", '
            f'"{name}_two"; DROP ROLE "{name}_one", "{name}_two"'
        )


def test_a_missing_pg_restore_is_said_with_the_rest(chat: Restoring, tmp_path: Path) -> None:
    ran = chat.run("--dry-run", BACKUP_PG_BIN=str(tmp_path))
    assert ran.code == 8, ran.said
    assert f"- BACKUP_PG_BIN: there is no working pg_dump in {tmp_path}: Name the" in ran.err
