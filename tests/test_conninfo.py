"""Connections: the same keywords as libpq reads, and never a piece of a password in a message."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from helpers.conninfo import Connection, flaw, flaws, misfits, parse, service

VALUES = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=12)
TWO = {"host": "a,b", "port": "1,2", "dbname": "db"}
PARAMETERS = st.dictionaries(
    st.sampled_from(["host", "dbname", "user", "password", "options", "application_name"]), VALUES
)
TOKENS = ["%41", "%2F", "[::1]", "user", "pw", "5432", "db", "host", "port", "sslmode", "require"]
SOUP = st.builds(
    str.__add__,
    st.sampled_from(["postgresql://", "postgresql://u:p@h", "postgresql:///db?", "host=", ""]),
    st.lists(st.sampled_from([*TOKENS, *":@,/?&=%' \\"]), max_size=10).map("".join),
)


def libpq(text: str) -> dict[str, str]:
    return {key: str(value) for key, value in conninfo_to_dict(text).items() if value}


def said(parameters: dict[str, str]) -> dict[str, str]:
    """The parameters without a port that is nothing but commas: it says nothing."""
    return {key: text for key, text in parameters.items() if key != "port" or text.strip(",")}


@given(PARAMETERS)
def test_what_libpq_writes_as_a_conninfo_string_is_read_back(parameters: dict[str, str]) -> None:
    assert parse(make_conninfo(**parameters)) == parameters


@given(VALUES, VALUES, VALUES, VALUES)
def test_a_percent_encoded_url_is_read_as_libpq_reads_it(
    user: str, password: str, host: str, dbname: str
) -> None:
    parts = [quote(part, safe="") for part in (user, password, host, dbname)]
    url = "postgresql://{}:{}@{}:5433/{}?application_name=x&sslmode=require".format(*parts)
    assert parse(url) == libpq(url)
    assert parse(url)["password"] == password


@given(SOUP)
@example("host=a\\")
@example("password= dbname=b")
@example("dbname='it\\'s' user = u")
@example("postgresql://%2Frun%2Fpostgresql,[::1]:5432/db")
def test_what_both_accept_both_read_alike(text: str) -> None:
    with suppress(ValueError, psycopg.ProgrammingError):
        # A departure that SQLAlchemy asks for: ?host=name:port is split.
        read, expected = parse(text), libpq(text)
        if "?" not in text or ":" not in expected.get("host", ""):
            assert said(read) == said(expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://h/db", {"host": "h", "dbname": "db"}),
        ("postgresql+psycopg2://u@h/db", {"user": "u", "host": "h", "dbname": "db"}),
        ("postgresql:///db?host=/run/pg", {"host": "/run/pg", "dbname": "db"}),
        ("postgresql://%2Frun%2Fpg/db", {"host": "/run/pg", "dbname": "db"}),
        ("postgresql://a:1,b:2/db", {"host": "a,b", "port": "1,2", "dbname": "db"}),
        ("postgresql://a,b:2/db", {"host": "a,b", "port": ",2", "dbname": "db"}),
        ("postgresql+asyncpg:///db?host=a:1&host=b:2", TWO),
        ("postgresql://[::1]:5433/db", {"host": "::1", "port": "5433", "dbname": "db"}),
        ("postgresql://h/db?ssl=true", {"host": "h", "dbname": "db", "sslmode": "require"}),
        (
            "postgresql+asyncpg://h/db?ssl=verify-full",
            {"host": "h", "dbname": "db", "sslmode": "verify-full"},
        ),
        ("postgresql://h/db?schema=public&pgbouncer=true", {"host": "h", "dbname": "db"}),
        (
            "postgresql+psycopg://h/db?application_name=a+b",
            {"host": "h", "dbname": "db", "application_name": "a b"},
        ),
        (
            "postgresql://h/db?application_name=a+b",
            {"host": "h", "dbname": "db", "application_name": "a+b"},
        ),
        ("postgresql://u:a:b@h/db", {"user": "u", "password": "a:b", "host": "h", "dbname": "db"}),
        ("host=/run/pg dbname='my db'", {"host": "/run/pg", "dbname": "my db"}),
        ("host=a\u00a0b", {"host": "a\u00a0b"}),
        ("host=h password=a://b dbname=db", {"host": "h", "password": "a://b", "dbname": "db"}),
    ],
)
def test_the_ways_to_write_a_connection(url: str, expected: dict[str, str]) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://u:pw@h/db", "not a PostgreSQL URL"),
        ("jdbc:postgresql://h/db", "not a PostgreSQL URL"),
        ("sqlite.db", "neither a URL nor keyword=value"),
        ("host=h dbname='open", "neither a URL nor keyword=value"),
        ("postgresql://u:s/cret@h/db", "write @ as %40"),
        ("postgresql://u:1/cret@h/db", "write @ as %40"),
        ("postgresql://u:s?cret@h/db", "write @ as %40"),
        ("postgresql://u:s#cret@h/db", "write @ as %40"),
        ("postgresql://u:s@cret@h/db", "write @ as %40"),
        ("postgresql://u:100%@h/db", "write %25"),
        ("postgresql://u:%ff@h/db", "not UTF-8"),
        ("postgresql://u:a b@h/db", "write %20"),
        ("postgresql://h:port/db", "host:port"),
        ("postgresql://h/db?sslmode", "has no ="),
        ("postgresql://h/db?sslmod=require", r"nearest: sslmode"),
        ("postgresql://h/db?sslpassword=x", "sslpassword, which pg_dump"),
        ("host=h sslpassword=x", "sslpassword, which pg_dump"),
        ("postgresql://h/db?dbname=other", "gives dbname twice"),
        ("host=h hostt=h", "nearest: host"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(url)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"port": "0"}, "a port is not a number from 1 to 65535"),
        ({"port": "65536"}, "a port is not a number from 1 to 65535"),
        ({"port": "5432,x"}, "a port is not a number from 1 to 65535"),
        ({"sslmode": "on"}, "sslmode is none of disable"),
        ({"user": "a\nb"}, "user has a line break"),
    ],
)
def test_single_parameters_are_checked(parameters: dict[str, str], complaint: str) -> None:
    assert [said for said in flaws(parameters) if complaint in said]


@pytest.mark.parametrize("port", ["1", "65535", "5432,", ",5433", ""])
def test_good_ports_pass(port: str) -> None:
    assert not list(flaws({"port": port}))


def test_hosts_addresses_and_ports_must_be_as_many() -> None:
    assert list(misfits({"host": "a,b", "port": "1,2,3"})) == [
        "there must be one port, or as many as hosts"
    ]
    assert list(misfits({"host": "a,b", "hostaddr": "::1"})) == [
        "there must be as many hosts as addresses"
    ]
    for fit in ({"host": "a,b", "port": "1"}, {"hostaddr": "::1,::2", "port": "1,2"}, {}):
        assert not list(misfits(fit))


def test_lone_surrogates_and_control_characters_are_flaws() -> None:
    assert flaw("\udcff") == "is not UTF-8"
    assert flaw("a\x00b") == flaw("a\x7f") == "has a line break, tab or other control character"
    assert flaw("pässwörd ✓") is None


def test_a_connection_shows_all_but_the_password() -> None:
    connection = Connection(
        parameters={"host": "h", "port": "1", "user": "u", "password": "hush", "dbname": "d"}
    )
    assert repr(connection) == (
        "Connection(dbname='d', host='h', password='***', port='1', user='u')"
    )
    assert str(connection) == "u@h:1/d"
    assert connection.model_dump() == {}
    assert connection.parameters["password"] == "hush"


SERVICES = "# comment\n[shop]\nhost=h\n\n  dbname=shop\npassword=a=b\n[other]\nhost=o\n"


def test_a_section_of_a_service_file_is_read() -> None:
    assert service(SERVICES, "shop") == {"host": "h", "dbname": "shop", "password": "a=b"}
    assert service(SERVICES, "other") == {"host": "o"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SERVICES.replace("[shop]", "[shops]"), "no section"),
        ("[shop]\nhost h\n", "not keyword=value"),
        ("[shop]\nldap://h/db\n", "not keyword=value"),
        ("[shop]\nhots=h\n", "nearest: host"),
    ],
)
def test_a_service_file_that_does_not_serve_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        service(text, "shop")
