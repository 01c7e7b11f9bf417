"""Names of backups: written, read back, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from helpers.names import Name, parse_name

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)

databases = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=21)
environments = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
times = st.integers(0, 253_402_300_799).map(lambda second: EPOCH + timedelta(seconds=second))


@given(databases, environments, times)
@example("a_b", "c", NOON)
@example("..", "dev", NOON)
@example("/etc/passwd", "dev", NOON)
@example(".hidden", "dev", NOON)
@example("%2E", "dev", NOON)
@example("x_prod_20260101T000000Z", "dev", NOON)
@example("a\nb $(rm) 'c'", "dev", NOON)
def test_any_database_gives_a_plain_file_name_that_is_read_back(
    database: str, environment: str, time: datetime
) -> None:
    name = Name(database, environment, time)
    assert parse_name(str(name)) == name
    assert str(name).isascii()
    assert str(name).isprintable()
    assert not set(str(name)) & set("/ '\"$*?;&|\\`")
    assert not str(name).startswith(".")


@given(databases, environments, databases, environments)
def test_two_series_never_share_a_name(one: str, in_one: str, other: str, in_other: str) -> None:
    assume((one, in_one) != (other, in_other))
    assert Name(one, in_one, NOON).series != Name(other, in_other, NOON).series


@given(st.text(max_size=40))
@example("a_b_20260304T120000Z")
@example("chat_dev_20260304T120000Z\n")
@example("chat_dev_\u0662\u0660260304T120000Z")
@example("a b_dev_20260304T120000Z")
def test_what_is_taken_for_a_name_is_written_the_same(text: str) -> None:
    name = parse_name(text)
    assert name is None or str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chat_test",
        "chat_test_20260230T000000Z",
        "chat_test_20260304T250000Z",
        "chat_test_20260304T120000",
        "_test_20260304T120000Z",
        "chat__20260304T120000Z",
        "chat_1test_20260304T120000Z",
        "chat_test_20260304T120000Z.tar",
        ".partial-chat_test_20260304T120000Z",
        ".deleted-chat_test_20260304T120000Z",
        "%63hat_test_20260304T120000Z",
        "../chat_test_20260304T120000Z",
    ],
)
def test_what_is_no_name_is_not_taken_for_one(text: str) -> None:
    assert parse_name(text) is None
