"""What of a binary stream may differ after a restore: numbers of types, and a flag of arrays."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from helpers.renumbered import Numbering

OID = 16500


def field(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def array(flags: int, *elements: bytes | None, oid: int = 25) -> bytes:
    """A field that holds an array of one dimension, as array_send writes it."""
    sent = b"".join(struct.pack(">i", -1) if e is None else field(e) for e in elements)
    return field(struct.pack(">iiIii", 1, flags, oid, len(elements), 1) + sent)


def same(tmp_path: Path, before: bytes, after: bytes) -> bool:
    for name, data in ("before", before), ("after", after):
        (tmp_path / name).write_bytes(b"PGCOPY" + data + b"\xff\xff")
    with (tmp_path / "before").open("rb") as one, (tmp_path / "after").open("rb") as other:
        return Numbering([OID]).same(one, other)


def test_an_array_may_lose_the_flag_of_nulls_that_it_does_not_hold(tmp_path: Path) -> None:
    row = field(b"\0\0\0\1")
    before = row + array(1, b"a", b"bc") + array(1, b"x", oid=20000)
    after = row + array(0, b"a", b"bc") + array(0, b"x", oid=OID)
    assert same(tmp_path, before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (array(0, b"a"), array(1, b"a")),
        (array(1, b"a", None), array(0, b"a", None)),
        (array(2, b"a"), array(0, b"a")),
        (array(1, b"a"), array(0, b"b")),
        (field(b"\0\0\0\1") + field(bytes(16)), field(bytes(4)) + field(bytes(16))),
        (field(b"\0\0\0\1\0\0\0\1"), field(b"\0\0\0\1\0\0\0\0")),
    ],
    ids=["gained", "nulls", "another flag", "another element", "a number", "two numbers"],
)
def test_nothing_else_may_look_like_that_flag(tmp_path: Path, before: bytes, after: bytes) -> None:
    assert not same(tmp_path, before, after)
