"""SQL text that pg_dump wrote, taken apart; nothing else passes for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import sqltext


def test_statements_are_split_at_semicolons_outside_of_quotes() -> None:
    text = "-- a; b\nSET x = 'a;''b'; COMMENT ON ROLE \"a;\"\"b\" IS E'\\';';\n\\restrict abc\n"
    assert sqltext.statements(text) == [
        ("SET", "x", "=", "'a;''b'"),
        ("COMMENT", "ON", "ROLE", '"a;""b"', "IS", "E'\\';'"),
    ]


@pytest.mark.parametrize(
    "text", ["SET x = 'a", 'DROP "a', "SELECT 1", "a; SELECT 'b' 'c", "E'\\';"]
)
def test_what_does_not_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"end|apart"):
        sqltext.statements(text)


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_name_in_quotes_is_that_name_again(text: str) -> None:
    assert sqltext.statements(f"DROP ROLE {sqltext.quoted(text)};") == [
        ("DROP", "ROLE", sqltext.quoted(text))
    ]
    assert sqltext.name(sqltext.quoted(text)) == text


@pytest.mark.parametrize("word", ["'a'", "1", "a;b", "a-b", ""])
def test_what_is_no_name_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        sqltext.name(word)
