"""The least role that can back up: made by the program, on real servers, by real administrators."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from helpers import backuprole
from helpers.backuprole import Outcome
from helpers.errors import ConfigError, DatabaseError, RefusedError

from ..running import SECRET, Ran, environment, pgbackup
from ..servers import Database, Server

_numbers = itertools.count(1)
READ_ALL_SINCE = 14
"""The first major with pg_read_all_data."""

OTHER = 'r0tated \'and "odd" $x %y \\z #1'


@dataclass(frozen=True)
class Shop:
    """A database whose owner is no superuser, and the name of the role that shall back it up."""

    database: Database
    owner: str
    role: str
    place: Path

    def url(self, user: str, password: str = SECRET) -> str:
        head, tail = self.database.url.split("@")
        return f"{head.split('://')[0]}://{quote(user)}:{quote(password, safe='')}@{tail}"

    def by(self, user: str, sql: str, password: str = SECRET) -> None:
        """Run statements as somebody."""
        with psycopg.connect(self.url(user, password), autocommit=True) as connection:
            connection.execute(sql.encode())

    def wanted(self, **wishes: object) -> str:
        """The request, in which the server's superuser connects unless said otherwise."""
        usual = {
            "admin": self.database.url,
            "database": self.database.name,
            "name": self.role,
            "password": SECRET,
        }
        return json.dumps(usual | wishes)

    def ensure(self, *, dry_run: bool = False, **wishes: object) -> Outcome:
        """Ask for the role."""
        return backuprole.ensure(backuprole.read(self.wanted(**wishes)), dry_run=dry_run)

    def changes(self, *, dry_run: bool = False, **wishes: object) -> tuple[str, ...]:
        """Ask for the role: what was changed."""
        return self.ensure(dry_run=dry_run, **wishes).changes

    def run(self, *words: str, **wishes: object) -> Ran:
        """Ask for the role by the program."""
        argv = ("create-role", "--json", *words)
        env, stdin = environment(None, None), self.wanted(**wishes)
        return pgbackup(*argv, env=env, cwd=self.place, stdin=stdin)

    def backup(self) -> Ran:
        """Back it up as that role, with the toolkit; the store is new each time."""
        store = self.place / f"store{next(_numbers)}"
        store.mkdir()
        env = environment(self.url(self.role), store)
        return pgbackup("backup", "--json", env=env, cwd=self.place)

    def drop(self, role: str) -> None:
        """Remove a role and all that it has here."""
        if self.database.query("SELECT FROM pg_roles WHERE rolname = %s", role):
            self.database.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')


def shop_on(server: Server, place: Path) -> Iterator[Shop]:
    number = f"{os.getpid()}_{next(_numbers)}"
    owner, role = f"owner_{number}", f"Back up {number}"
    server.maintenance.execute(f"CREATE ROLE {owner} LOGIN PASSWORD '{SECRET}'")
    with server.database(f"OWNER {owner}") as database:
        shop = Shop(database, owner, role, place)
        database.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        shop.by(
            owner,
            """
            CREATE SCHEMA "Odd ""place"; CREATE SCHEMA empty;
            CREATE TABLE "Odd ""place"."or %ders" (id serial PRIMARY KEY, note text);
            INSERT INTO "Odd ""place"."or %ders" (note) SELECT 'x' FROM generate_series(1, 50);
            CREATE TABLE "Odd ""place".parts (id int) PARTITION BY RANGE (id);
            CREATE TABLE "Odd ""place".part PARTITION OF "Odd ""place".parts
                FOR VALUES FROM (0) TO (9);
            INSERT INTO "Odd ""place".parts VALUES (1), (2)
            """,
        )
        try:
            yield shop
        finally:
            shop.drop(role)
    server.maintenance.execute(f"DROP ROLE {owner}")


@pytest.fixture
def any_shop(any_server: Server, tmp_path: Path) -> Iterator[Shop]:
    """A shop on each server in turn."""
    yield from shop_on(any_server, tmp_path)


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Iterator[Shop]:
    """A shop on the newest server."""
    yield from shop_on(server, tmp_path)


@pytest.mark.parametrize("grants", [False, True], ids=["read_all", "grants"])
def test_the_role_backs_up_what_the_owner_has_and_makes_later_and_writes_nothing(
    any_shop: Shop, grants: bool
) -> None:
    shop = any_shop
    assert shop.changes(grants=grants)
    assert shop.changes(grants=grants) == ()
    shop.by(
        shop.owner,
        "CREATE SCHEMA later; CREATE TABLE later.t (id serial); INSERT INTO later.t VALUES (1);"
        "CREATE TABLE empty.t (id bigint GENERATED ALWAYS AS IDENTITY)",
    )
    ran = shop.backup()
    assert ran.code == 0, ran.said
    assert ran.json["backup"]["rows"] == 53
    for statement in (
        'INSERT INTO "Odd ""place"."or %ders" (note) VALUES (1)',
        'DELETE FROM "Odd ""place"."or %ders"',
        "TRUNCATE later.t",
        "SELECT nextval('later.t_id_seq')",
        "CREATE TABLE later.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        f"SET ROLE {shop.owner}",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.by(shop.role, statement)
    powers = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    rows = shop.database.query(f"SELECT {powers} FROM pg_roles WHERE rolname = %s", shop.role)
    assert rows == [(False,) * 5]
    if shop.database.server.major >= READ_ALL_SINCE:
        member = "SELECT pg_has_role(%s, 'pg_read_all_data', 'MEMBER')"
        assert shop.database.query(member, shop.role) == [(not grants,)]


def test_check_mode_says_what_a_run_does_and_does_nothing(any_shop: Shop) -> None:
    shop = any_shop
    for grants in (True, False):
        told = shop.changes(dry_run=True, grants=grants)
        assert told
        assert not shop.database.query("SELECT FROM pg_roles WHERE rolname = %s", shop.role)
    assert shop.changes() == told
    assert shop.changes(dry_run=True) == ()


def test_a_new_password_is_set_once_and_no_log_of_the_server_has_it(any_shop: Shop) -> None:
    shop = any_shop
    shop.changes()
    shop.database.execute(f"ALTER DATABASE {shop.database.name} SET log_statement = 'all'")
    assert len(shop.changes(dry_run=True, password=OTHER)) == 1
    shop.by(shop.role, "SELECT 1")
    assert len(shop.changes(password=OTHER)) == 1
    assert shop.changes(password=OTHER) == ()
    shop.by(shop.role, "SELECT 1", OTHER)
    log = shop.database.server.scratch.log.read_text()
    assert f'ALTER ROLE "{shop.role}" PASSWORD' in log
    assert OTHER[:12] not in log


def test_without_a_password_the_role_keeps_the_one_it_has(shop: Shop) -> None:
    shop.changes()
    assert shop.changes(password="") == ()
    shop.by(shop.role, "SELECT 1")


@pytest.mark.parametrize("password", [SECRET, "pässword"])
def test_an_administrator_who_is_no_superuser_makes_and_rotates_it(
    any_shop: Shop, password: str
) -> None:
    shop = any_shop
    admin = f"admin_{shop.owner}"
    ours = (
        f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{SECRET}'; GRANT {shop.owner} TO {admin}"
    )
    shop.database.execute(ours)
    major = shop.database.server.major
    if major >= 16:
        shop.database.execute(f"GRANT pg_read_all_data TO {admin} WITH ADMIN OPTION")
    elif major < READ_ALL_SINCE:  # then it is the superuser's
        shop.database.execute(f"ALTER SCHEMA public OWNER TO {shop.owner}")
    try:
        told = shop.changes(admin=shop.url(admin))
        assert told
        assert (major >= READ_ALL_SINCE) == any("pg_read_all_data" in change for change in told)
        assert shop.changes(admin=shop.url(admin)) == ()
        assert len(shop.changes(admin=shop.url(admin), password=password + "2")) == 1
        assert shop.changes(admin=shop.url(admin), password=password + "2") == ()
    finally:
        shop.drop(shop.role)
        shop.drop(admin)


def test_an_administrator_who_may_not_grant_changes_nothing_and_is_told(any_shop: Shop) -> None:
    shop = any_shop
    admin = f"admin_{shop.owner}"
    shop.database.execute(f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{SECRET}'")
    shop.database.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "Odd ""place" TO {admin}')
    try:
        with pytest.raises(DatabaseError, match="Nothing was changed"):
            shop.ensure(admin=shop.url(admin), grants=True)
        assert not shop.database.query("SELECT FROM pg_roles WHERE rolname = %s", shop.role)
    finally:
        shop.drop(admin)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("ALTER ROLE {role} SUPERUSER", "SUPERUSER"),
        ("ALTER ROLE {role} CREATEDB", "CREATEDB"),
        ("ALTER ROLE {role} BYPASSRLS", "BYPASSRLS"),
        ("GRANT {owner} TO {role}", "is a member of owner"),
        ('GRANT UPDATE ON "Odd ""place".part TO {role}', "UPDATE"),
        ('GRANT UPDATE (id) ON "Odd ""place".part TO {role}', "UPDATE"),
        ("GRANT CREATE ON SCHEMA empty TO {role}", "CREATE"),
        ("CREATE TABLE t (); ALTER TABLE t OWNER TO {role}", "owns 1 objects"),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT INSERT ON TABLES TO {role}", "INSERT"),
    ],
    ids=str,
)
def test_a_role_that_may_do_more_is_refused_and_left_as_it_is(
    shop: Shop, sql: str, reason: str
) -> None:
    shop.changes()
    shop.database.execute(sql.format(role=f'"{shop.role}"', owner=shop.owner))
    with pytest.raises(RefusedError, match=reason):
        shop.ensure(password=OTHER)
    shop.by(shop.role, "SELECT 1")


def test_row_level_security_is_bypassed_only_where_asked(any_shop: Shop) -> None:
    shop = any_shop
    shop.by(
        shop.owner,
        'ALTER TABLE "Odd ""place".part ENABLE ROW LEVEL SECURITY',
    )
    warned = shop.ensure()
    assert '"Odd ""place".part' in warned.warnings[0]
    assert shop.backup().code == 3
    assert len(shop.changes(bypassrls=True)) == 1
    assert shop.changes(bypassrls=True) == ()
    assert shop.ensure(bypassrls=True).warnings == ()
    ran = shop.backup()
    assert ran.code == 0, ran.said
    assert ran.json["backup"]["rows"] == 52


@pytest.mark.parametrize("grants", [False, True], ids=["read_all", "grants"])
def test_large_objects_are_read_and_it_is_said_where_new_ones_are_not(
    any_shop: Shop, grants: bool
) -> None:
    shop = any_shop
    shop.by(shop.owner, "SELECT lo_from_bytea(0, 'one')")
    warnings = shop.ensure(grants=grants).warnings
    assert shop.changes(grants=grants) == ()
    assert shop.backup().code == 0
    shop.by(shop.owner, "SELECT lo_from_bytea(0, 'two')")
    covered = shop.database.server.major >= 18
    assert any("large objects" in warning for warning in warnings) != covered
    assert (shop.backup().code == 0) == covered
    shop.changes(grants=grants)
    assert shop.backup().code == 0


def test_a_table_of_somebody_new_is_covered_once_he_is_named(shop: Shop) -> None:
    maker = f"maker_{shop.owner}"
    shop.database.execute(f"CREATE ROLE {maker}; GRANT CREATE ON SCHEMA empty TO {maker}")
    try:
        shop.changes(grants=True)
        assert shop.changes(grants=True, makers=[maker])
        assert shop.changes(grants=True, makers=[maker]) == ()
        shop.database.execute(f"SET ROLE {maker}; CREATE TABLE empty.his (id int)")
        assert shop.backup().code == 0
    finally:
        shop.drop(maker)


def test_a_role_that_was_shut_out_can_log_in_again(any_shop: Shop) -> None:
    shop = any_shop
    shop.changes()
    shop.database.execute(f"ALTER ROLE \"{shop.role}\" NOLOGIN NOINHERIT VALID UNTIL '2001-01-01'")
    assert len(shop.changes()) >= 3
    assert shop.changes() == ()
    assert shop.backup().code == 0


def test_the_configuration_of_an_extension_is_granted_and_nothing_else_of_it(shop: Shop) -> None:
    shop.database.execute(
        "CREATE TABLE conf (id int); CREATE TABLE inner_one (id int); CREATE SCHEMA ext;"
        "CREATE EXTENSION hstore SCHEMA ext;"
        "ALTER EXTENSION hstore ADD TABLE conf; ALTER EXTENSION hstore ADD TABLE inner_one;"
        "UPDATE pg_extension SET extconfig = ARRAY['conf'::regclass::oid], extcondition = ARRAY['']"
        " WHERE extname = 'hstore'"
    )
    shop.changes(grants=True)
    reads = "SELECT has_table_privilege(%s, %s::regclass, 'SELECT')"
    assert shop.database.query(reads, shop.role, "conf") == [(True,)]
    assert shop.database.query(reads, shop.role, "inner_one") == [(False,)]


def test_what_everybody_may_do_is_told(shop: Shop) -> None:
    shop.database.execute('GRANT INSERT ON "Odd ""place".part TO PUBLIC')
    shop.database.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    warning = shop.ensure().warnings[0]
    assert 'write to "Odd ""place".part' in warning
    assert "create objects in schema public" in warning


@pytest.mark.parametrize(
    "wishes",
    [
        {"admin": f"postgresql://u:{SECRET}@h/x@y"},
        {"name": "pg_mine"},
        {"name": ""},
        {"grant": True},
        {"password": [SECRET]},
        {"makers": ["nobody there"]},
        {"admin": f"host=127.0.0.1 port=1 user=postgres password={SECRET}"},
    ],
    ids=["url", "reserved", "empty", "unknown", "type", "makers", "server"],
)
def test_a_request_that_is_wrong_is_told_without_its_secrets(
    shop: Shop, wishes: dict[str, object]
) -> None:
    with pytest.raises((ConfigError, DatabaseError)) as caught:
        shop.ensure(**wishes)
    assert SECRET not in str(caught.value)


def test_the_program_answers_and_ends_with_the_codes_of_the_contract(shop: Shop) -> None:
    told = shop.run("--dry-run")
    assert told.code == 0, told.said
    assert told.json["dry_run"]
    done = shop.run()
    assert done.json["changes"] == told.json["changes"]
    assert done.json["changed"]
    assert not shop.run().json["changed"]
    assert shop.run(grants=True).code == 8
    assert shop.run(name="").code == 2
    assert SECRET not in told.said + done.said
