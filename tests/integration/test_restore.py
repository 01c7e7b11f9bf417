"""Restores by the real program: what they give back."""

from __future__ import annotations

from ..servers import REFUSED, Database, Server
from .disturbing import take
from .restoring import Restoring, described


def test_a_missing_database_is_made_with_everything_in_it(any_chat: Restoring) -> None:
    ran = any_chat.run("--json")
    assert ran.code == 0, ran.said
    assert (ran.json["outcome"], ran.json["tables"], ran.json["rows"]) == ("restored", 2, 2050)
    target = any_chat.target()
    assert any_chat.counts(target) == [(50, 2000)]
    assert target.query("SELECT nextval('app.messages_id_seq')") == [(2001,)]
    assert target.query("SELECT convalidated FROM pg_constraint WHERE contype = 'f'") == [(True,)]
    assert target.query("SELECT reltuples FROM pg_class WHERE relname = 'messages'") == [(2000,)]
    assert any_chat.databases() == ["target"]


def test_an_older_servers_backup_goes_into_a_newer_one(any_chat: Restoring, server: Server) -> None:
    name = any_chat.place("newer")
    ran = any_chat.run(f"--to={server.url(name)}", to=None)
    try:
        if (any_chat.server.major, server.major) == REFUSED:
            assert ran.code == 9, ran.said
            assert 'unrecognized parameter "pg_attver"' in ran.err
            assert not server.maintenance.query("SELECT FROM pg_database WHERE datname = %s", name)
            return
        assert ran.code == 0, ran.said
        assert any_chat.counts(Database(name, server)) == [(50, 2000)]
    finally:
        server.maintenance.execute(f'DROP DATABASE IF EXISTS "{name}"')


def test_what_the_database_is_to_its_users_comes_with_it(chat: Restoring) -> None:
    name = chat.source.name
    chat.source.execute(
        f'CREATE ROLE "{name}_app"; ALTER DATABASE "{name}" SET search_path = app, public;'
        f"COMMENT ON DATABASE \"{name}\" IS 'it''s; one';"
        f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;'
        f'GRANT CONNECT ON DATABASE "{name}" TO "{name}_app";'
        f'ALTER DATABASE "{name}" OWNER TO "{name}_app";'
        f'ALTER ROLE "{name}_app" IN DATABASE "{name}" SET work_mem = \'7MB\''
    )
    try:
        chat.name = take(chat.env, chat.cwd)
        assert chat.run().code == 0
        first = described(chat, chat.place("target"))
        assert first == described(chat, name)
        assert chat.target().query("SHOW search_path") == [("app, public",)]
        chat.target().execute(f"ALTER DATABASE \"{chat.place('target')}\" SET work_mem = '9MB'")
        kept = described(chat, chat.place("target"))
        assert chat.run("--replace").code == 0
        assert described(chat, chat.place("target")) == kept
    finally:
        for database in [name, *(chat.place(kind) for kind in chat.databases())]:
            chat.server.maintenance.execute(f'ALTER DATABASE "{database}" OWNER TO postgres')
            chat.server.maintenance.execute(
                f'REVOKE ALL ON DATABASE "{database}" FROM "{name}_app"'
            )
            chat.server.maintenance.execute(
                f'ALTER ROLE "{name}_app" IN DATABASE "{database}" RESET ALL'
            )
        chat.server.maintenance.execute(f'DROP ROLE "{name}_app"')


def test_missing_roles_are_made_from_globals_and_existing_ones_left_alone(
    chat: Restoring,
) -> None:
    name = chat.source.name
    one, two = f'"{name}_one"', f'"{name}_two"'
    server = chat.server.maintenance
    chat.source.execute(
        f"CREATE ROLE {one} LOGIN CREATEDB CONNECTION LIMIT 5; CREATE ROLE {two};"
        f"GRANT {two} TO {one}; ALTER ROLE {one} SET search_path = app, public;"
        f"COMMENT ON ROLE {one} IS 'it''s; one'; ALTER TABLE app.messages OWNER TO {one}"
    )
    try:
        chat.name = take(chat.env, chat.cwd)
        chat.source.execute(
            f"ALTER TABLE app.messages OWNER TO postgres; DROP ROLE {one};"
            f"ALTER ROLE {two} SET work_mem = '9MB'"
        )
        assert f"{name}_one" in chat.run().err
        dry = chat.run("--globals", "--dry-run", to=None)
        assert dry.code == 0, dry.said
        assert f"CREATE ROLE {name}_one" in dry.out
        assert server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", f"{name}_one") == []
        ran = chat.run("--globals")
        assert ran.code == 0, ran.said
        assert server.query(
            "SELECT rolcanlogin, rolcreatedb, rolsuper, rolconnlimit, rolconfig, "
            "pg_has_role(oid, %s, 'MEMBER'), shobj_description(oid, 'pg_authid') "
            "FROM pg_roles WHERE rolname = %s",
            f"{name}_two",
            f"{name}_one",
        ) == [(True, True, False, 5, ["search_path=app, public"], True, "it's; one")]
        assert server.query("SELECT rolconfig FROM pg_roles WHERE rolname = %s", f"{name}_two") == [
            (["work_mem=9MB"],)
        ]
        again = chat.run("--globals", to=None)
        assert (again.code, again.out.strip()) == (0, "The server has every role of the backup.")
    finally:
        for kind in chat.databases():
            server.execute(f'DROP DATABASE "{chat.place(kind)}" WITH (FORCE)')
        chat.source.execute(
            f"ALTER TABLE app.messages OWNER TO postgres; DROP ROLE IF EXISTS {one};"
            f"DROP ROLE IF EXISTS {two}"
        )


def test_without_owners_missing_roles_are_no_matter(chat: Restoring) -> None:
    role = f'"{chat.source.name}_gone"'
    chat.source.execute(f"CREATE ROLE {role}; ALTER TABLE app.messages OWNER TO {role}")
    chat.name = take(chat.env, chat.cwd)
    chat.source.execute(f"ALTER TABLE app.messages OWNER TO postgres; DROP ROLE {role}")
    ran = chat.run("--no-owner")
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_definitions_alone_have_no_rows(chat: Restoring) -> None:
    assert chat.run("--schema-only").code == 0
    assert chat.counts(chat.target()) == [(0, 0)]
