"""Random tables and rows: what pg_restore makes of a binary backup is what was there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from helpers import backup, progress
from helpers import settings as configuration

from ..servers import Database, Server

# Each type with SQL that makes a value out of a number n; NULL comes in by chance.
TYPES = {
    "boolean": "n % 2 = 0",
    "smallint": "(n % 32767)::smallint",
    "bigint": "n * 9223372036854",
    "real": "('{NaN,-0,Infinity,1e-40}'::real[])[1 + n % 4]",
    "double precision": "exp(n % 300)",
    "numeric": "CASE n % 4 WHEN 0 THEN 'NaN' ELSE repeat('9', (n % 200)::int + 1) END::numeric",
    "numeric(20,5)": "n / 3.0",
    "text": "repeat(chr((n % 55000)::int + 1), (n % 50)::int)",
    "varchar(20)": "left(md5(n::text), 20)",
    "character(7)": "left(md5(n::text), (n % 7)::int)",
    "bytea": "decode(repeat(md5(n::text), (n % 90)::int), 'hex')",
    "date": "date '4000-01-01 BC' + n::int",
    "time with time zone": "time with time zone '23:59:59.999999+13' - n * interval '1 second'",
    "timestamptz": "timestamptz '2026-03-29 00:59:59+00' + n * interval '1 s'",
    "timestamp": "('{-infinity,infinity,4713-01-01 BC}'::timestamp[])[1 + n % 3]",
    "interval": "n * interval '1 year 1 day 0.000001 s' - interval '3 months'",
    "uuid": "md5(n::text)::uuid",
    "jsonb": "jsonb_build_object('n', n, 'q', E'\\\\ \"', 'deep', jsonb_build_array(n, NULL, 'x'))",
    "json": "json_build_array(n, md5(n::text))",
    "inet": "inet '10.0.0.0/8' + n",
    "point": "point(n, -n)",
    "int4range": "int4range(n::int % 1000, n::int % 1000 + (n % 9)::int)",
    "text[]": "CASE n % 4 WHEN 0 THEN '{}' ELSE ARRAY[md5(n::text), NULL, ''] END::text[]",
    "int[]": "'[-3:-2][5:6]={{1,2},{NULL,4}}'::int[]",
    "vector(3)": "ARRAY[n, -n, 0.5]::vector(3)",
    "tsvector": "to_tsvector('simple', md5(n::text) || ' the cat')",
    "tsquery": "to_tsquery('simple', 'a & ' || md5(n::text))",
    "regclass": "'pg_class'::regclass",
    "bit varying": "n::bit(9)::bit varying",
}

names = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x2FF, exclude_categories=("Cs",)),
    min_size=1,
    max_size=12,
)
columns = st.dictionaries(names, st.sampled_from(sorted(TYPES)), max_size=5)
tables = st.dictionaries(names, st.tuples(columns, st.integers(0, 40)), min_size=1, max_size=4)


def create(database: Database, drawn: dict[str, tuple[dict[str, str], int]]) -> None:
    """Make the tables and their rows."""
    with database.connect() as connection:
        connection.execute("CREATE EXTENSION vector")
        for name, (definition, rows) in drawn.items():
            table = sql.Identifier("public", name)
            parts = [
                sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
                for column, kind in definition.items()
            ]
            connection.execute(
                sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(parts))
            )
            values = [
                sql.SQL(f"CASE WHEN n % 7 <> 3 THEN {TYPES[kind]} END")
                for kind in definition.values()
            ]
            connection.execute(
                sql.SQL("INSERT INTO {} SELECT {} FROM generate_series(1, {}::int8) AS n").format(
                    table, sql.SQL(", ").join(values), sql.Literal(rows)
                )
            )


def contents(database: Database, name: str) -> bytes:
    """The table as COPY writes it: every value, in the order of the rows."""
    with database.connect() as connection, connection.cursor() as cursor:
        statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier("public", name))
        with cursor.copy(statement) as copy:
            return b"".join(bytes(block) for block in copy)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=tables, jobs=st.integers(1, 3))
def test_random_tables_are_restored_as_they_were(
    server: Server,
    tmp_path: Path,
    drawn: dict[str, tuple[dict[str, str], int]],
    jobs: int,
) -> None:
    store = tmp_path / "store"
    store.mkdir(exist_ok=True)
    with server.database() as source, server.database() as target:
        create(source, drawn)
        given_environment = {
            "DATABASE_URL": source.url,
            "BACKUP_DIR": str(store),
            "BACKUP_JOBS": str(jobs),
            "BACKUP_BINARY_FROM": "0",
        }
        found = configuration.load("test", root=tmp_path, environ=given_environment)
        outcome = backup.run(found, progress.Quiet(silent=True), then_prune=False)
        argv = [f"{server.bin_dir}/pg_restore", "--exit-on-error", f"--jobs={jobs}"]
        done = subprocess.run(
            [*argv, f"--dbname={target.url}", str(outcome.path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        for name in drawn:
            assert contents(target, name) == contents(source, name)
