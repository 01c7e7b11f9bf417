"""Restore a backup by the words of its RESTORE.md, and compare two databases in everything."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import conninfo, sql

from .servers import Database, Server

_VOLATILE = re.compile(rb"^(\\(un)?restrict |-- Dumped (from|by) )")

# Rows of a table that is partitioned by hash may change partitions; its parent has them all.
_TABLES = """
SELECT n.nspname, c.relname, c.relkind IN ('p', 'm')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind IN ('r', 'p') OR c.relkind = 'm' AND c.relispopulated)
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
    SELECT FROM pg_inherits i JOIN pg_partitioned_table p ON p.partrelid = i.inhparent
    WHERE i.inhrelid = c.oid AND p.partstrat = 'h')
ORDER BY 1, 2
"""

_STATES = {
    "indexes": """SELECT i.indexrelid::regclass::text, i.indisvalid, i.indisready, i.indislive,
        i.indisclustered, i.indisreplident, pg_get_indexdef(i.indexrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'pg_toast') ORDER BY 1, 7""",
    "constraints": """SELECT coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text),
        conname, contype, convalidated, condeferrable, condeferred, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        ORDER BY 1, 2, 7""",
    "triggers": """SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger
        WHERE NOT tgisinternal ORDER BY 1, 2""",
    "event triggers": "SELECT evtname, evtenabled, evtfoid::regproc::text FROM pg_event_trigger",
    "views": """SELECT schemaname, viewname, viewowner, definition FROM pg_views
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2""",
    "materialized views": """SELECT schemaname, matviewname, ispopulated FROM pg_matviews
        ORDER BY 1, 2""",
    "extensions": """SELECT extname, extversion, extnamespace::regnamespace::text
        FROM pg_extension ORDER BY 1""",
    "owners": """SELECT oid::regclass::text, relkind, relpersistence, relowner::regrole::text,
        relrowsecurity, relforcerowsecurity, relreplident, relacl::text FROM pg_class
        WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY 1""",
    "large objects": """SELECT m.oid, m.lomowner::regrole::text, m.lomacl::text,
        md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject')
        FROM pg_largeobject_metadata m ORDER BY 1""",
    "attributes": """SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
        attnotnull, attidentity, attgenerated, attstorage,
        coalesce(to_jsonb(a) ->> 'attcompression', ''), attislocal, attinhcount,
        col_description(attrelid, attnum) FROM pg_attribute a
        WHERE attnum > 0 AND NOT attisdropped AND attrelid IN (
          SELECT oid FROM pg_class
          WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)')
        ORDER BY 1, 2""",
}


def contents(database: Database) -> dict[str, tuple[int, str]]:
    """Each table's count of rows and the MD5 of its COPY text, in the order of its rows."""
    found = {}
    with database.connect() as connection:
        connection.execute("SET synchronize_seqscans = off; SET row_security = off")
        connection.execute("SET client_encoding = 'UTF8'")
        tables = connection.execute(_TABLES).fetchall()
        connection.execute(f"SET client_encoding = '{_encoding(database)}'".encode())
        for schema, name, unordered in tables:
            shown = sql.Identifier(schema, name).as_string()
            text = copied(connection, f"COPY (SELECT * FROM {'' if unordered else 'ONLY '}{shown})")
            lines = text.split(b"\n")[:-1]
            if unordered:
                text = b"\n".join(sorted(lines))
            found[shown] = (len(lines), hashlib.md5(text).hexdigest())
    return found


def copied(connection: Any, statement: str, options: str = "") -> bytes:
    """What a COPY TO STDOUT gives."""
    query = f"{statement} TO STDOUT {options}".encode(_codec(connection))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        return b"".join(bytes(block) for block in copy)


def sequences(database: Database) -> dict[tuple[str, str], tuple[int, bool]]:
    """Each sequence's value, and whether it was given out."""
    with database.connect() as connection:
        query = """SELECT n.nspname, c.relname FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'"""
        statement = sql.SQL("SELECT last_value, is_called FROM {}")
        found = {}
        for schema, name in connection.execute(query).fetchall():
            asked = statement.format(sql.Identifier(schema, name))
            row = connection.execute(asked).fetchone()
            assert row
            found[schema, name] = (int(row[0]), bool(row[1]))
        return found


def definitions(database: Database, tools: Path) -> list[bytes]:
    """What pg_dump says of the schema, without the lines that differ from dump to dump."""
    argv = [f"{tools}/pg_dump", "--schema-only", f"--encoding={_encoding(database)}"]
    done = subprocess.run([*argv, f"--dbname={database.url}"], capture_output=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not _VOLATILE.match(line)]


def states(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What the catalog says beyond definitions: what is valid, populated, enabled, owned."""
    return {what: database.query(query) for what, query in _STATES.items()}


def same(source: Database, restored: Database) -> None:
    """Assert that two databases on servers of one major hold the same."""
    same_data(source, restored)
    assert states(restored) == states(source)
    tools = source.server.bin_dir
    assert definitions(restored, tools) == definitions(source, tools)


def same_data(source: Database, restored: Database) -> None:
    """Assert that rows and sequences are equal, which must hold between any two majors."""
    assert contents(restored) == contents(source)
    assert sequences(restored) == sequences(source)


def commands(backup: Path) -> list[str]:
    """The commands that RESTORE.md gives for restoring, in their order."""
    blocks = re.findall(r"(?m)^ {7}(\S.*)", (backup / "RESTORE.md").read_text())
    return [block for block in blocks if block.startswith(("sha256sum", "createdb", "pg_restore"))]


@contextmanager
def restored(backup: Path, database: str, server: Server, tools: Path) -> Iterator[Database]:
    """The backup, restored by RESTORE.md's own words with the tools of one directory.

    The server must have no database of that name; it is dropped afterwards.
    """
    env = {**_libpq(server), "PATH": f"{tools}:{os.environ['PATH']}"}
    try:
        words = commands(backup)
        assert len(words) == 3, words
        for command in words:
            done = subprocess.run(["sh", "-c", command], cwd=backup, env=env, capture_output=True)
            assert done.returncode == 0, (command, done.stderr)
        yield Database(database, server)
    finally:
        drop(server, database)


@contextmanager
def named(server: Server, name: str, options: str = "") -> Iterator[Database]:
    """An empty database of this very name, dropped afterwards."""
    with server.maintenance.connect() as connection:
        statement = sql.SQL("CREATE DATABASE {} ").format(sql.Identifier(name))
        connection.execute(statement + sql.SQL(options))
    try:
        yield Database(name, server)
    finally:
        drop(server, name)


@contextmanager
def aside(database: Database) -> Iterator[Database]:
    """The database under another name for a while, so that its own is free for a restored one."""
    other = f"aside_{os.getpid()}"
    rename(database.server, database.name, other)
    try:
        yield Database(other, database.server)
    finally:
        rename(database.server, other, database.name)


def rename(server: Server, old: str, new: str) -> None:
    with server.maintenance.connect() as connection:
        statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(statement.format(sql.Identifier(old), sql.Identifier(new)))


def drop(server: Server, name: str) -> None:
    with server.maintenance.connect() as connection:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(statement.format(sql.Identifier(name)))


def _libpq(server: Server) -> Mapping[str, str]:
    given = conninfo.conninfo_to_dict(server.url())
    keys = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    return {variable: str(given[key]) for key, variable in keys.items()}


def _encoding(database: Database) -> str:
    with database.connect() as connection:
        return str(connection.info.parameter_status("server_encoding"))


def _codec(connection: Any) -> str:
    return "latin-1" if connection.info.parameter_status("client_encoding") == "LATIN1" else "utf-8"
