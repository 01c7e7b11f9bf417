"""Which roles of globals.sql are made, and what is never run."""

from __future__ import annotations

import pytest

from helpers import roles
from helpers.errors import RefusedError

TEXT = """--
-- PostgreSQL database cluster dump
--

\\restrict Q545zNjMxXEg

SET default_transaction_read_only = off;

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS \
CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$x' VALID UNTIL '2030-01-01 00:00:00+00';
COMMENT ON ROLE app IS 'the app; really';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT;
CREATE ROLE "Read-Only";
ALTER ROLE "Read-Only" WITH NOSUPERUSER;
ALTER ROLE app SET search_path TO 'a', 'b';
ALTER ROLE postgres SET work_mem TO '1GB';
GRANT "Read-Only" TO app WITH ADMIN OPTION, INHERIT FALSE GRANTED BY postgres;
GRANT "Read-Only" TO postgres GRANTED BY postgres;
GRANT gone TO app GRANTED BY postgres;
CREATE TABLESPACE fast OWNER app LOCATION '/fast';
GRANT SET ON PARAMETER log_min_messages TO app;
"""


def test_only_roles_that_are_missing_are_made_with_what_is_theirs() -> None:
    plan = roles.plan(TEXT, {"postgres"})
    assert plan.roles == ("Read-Only", "app")
    assert plan.statements == (
        "CREATE ROLE app",
        "ALTER ROLE app WITH CREATEDB LOGIN CONNECTION LIMIT 5 "
        "VALID UNTIL '2030-01-01 00:00:00+00'",
        "COMMENT ON ROLE app IS 'the app; really'",
        'CREATE ROLE "Read-Only"',
        "ALTER ROLE app SET search_path TO 'a' , 'b'",
        'GRANT "Read-Only" TO app WITH ADMIN OPTION , INHERIT FALSE',
    )
    assert plan.skipped == ("CREATE TABLESPACE fast OWNER", "GRANT SET ON PARAMETER")


def test_a_server_that_has_every_role_gets_no_statement() -> None:
    plan = roles.plan(TEXT, {"postgres", "app", "Read-Only", "gone"})
    assert (plan.roles, plan.statements) == ((), ())


@pytest.mark.parametrize(
    "statement",
    [
        "DROP ROLE app;",
        "ALTER ROLE app RENAME TO other;",
        "CREATE ROLE app SUPERUSER;",
        "ALTER ROLE app WITH SOMETHING;",
        "ALTER ROLE app WITH CONNECTION LIMIT x;",
        "DO $$ BEGIN END $$;",
        "COPY (SELECT 1) TO PROGRAM 'true';",
        "GRANT app TO other WITH (SELECT 1);",
        "\\! true\nSELECT 1;",
        "ALTER ROLE 'app' WITH LOGIN;",
        "CREATE ROLE app",
    ],
)
def test_anything_else_refuses_the_whole_file(statement: str) -> None:
    with pytest.raises(RefusedError, match="something else than roles"):
        roles.plan(f"{TEXT}\n{statement}", set())
