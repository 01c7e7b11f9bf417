"""The manifest: it reads back as it was written, and refuses what no manifest may say."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import manifest
from helpers.errors import VerificationError
from helpers.manifest import FilePart, Manifest

from . import examples
from .examples import table

NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
COUNTS = st.integers(0, 2**63 - 1)
ROOM = 64 << 20
"""Bytes that a refusal may take besides the interpreter and its modules."""


def write(directory: Path, **changes: Any) -> Path:
    """An example manifest with keys of its JSON replaced; `None` leaves one out."""
    document = json.loads(examples.manifest(table("messages", 3)).to_json())
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = document
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    (directory / manifest.FILE).write_text(json.dumps(document))
    return directory


def refusal(directory: Path) -> str:
    with pytest.raises(VerificationError) as caught:
        manifest.read(directory)
    return caught.value.what


@given(NAMES, COUNTS, st.integers(-(2**63), 2**63 - 1))
def test_a_manifest_reads_back_as_it_was_written(name: str, rows: int, value: int) -> None:
    written = examples.manifest(table(name, rows // 10, file="1.dat.gz"))
    sequence = written.sequences[0].model_copy(update={"name": name, "value": value})
    written = written.model_copy(update={"sequences": (sequence,), "notes": (name,)})
    assert Manifest.model_validate_json(written.to_json()) == written


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    found, data = manifest.read(write(tmp_path, colour="blue", tables__0__shade=[1, {"dark": 2}]))
    assert found == examples.manifest(table("messages", 3))
    assert data == (tmp_path / manifest.FILE).read_bytes()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"backup": None}, "backup"),
        ({"tables__0__rows": None}, "tables.0.rows"),
        ({"tables__0__rows": -1}, "tables.0.rows"),
        ({"tables__0__rows": "many"}, "tables.0.rows"),
        ({"tables__0__format": "csv"}, "tables.0.format"),
        ({"tables__0__sha256": "AB" * 32}, "tables.0.sha256"),
        ({"tables__0__sha256": "ab" * 32 + "\n"}, "tables.0.sha256"),
        ({"totals__file_bytes": 10**400}, "totals.file_bytes"),
        ({"totals__rows": 2**63}, "totals.rows"),
        ({"sequences__0__value": 2**63}, "sequences.0.value"),
        ({"snapshot": "yesterday"}, "snapshot"),
    ],
)
def test_what_no_manifest_may_say_is_named(
    tmp_path: Path, change: dict[str, object], where: str
) -> None:
    assert f"manifest.json is not a manifest: {where}: " in refusal(write(tmp_path, **change))


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "",
        ".hidden",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\n",
        "\x1b[2Ja",
        "-rf",
        "a b",
        "ä",
    ],
)
@pytest.mark.parametrize("where", ["tables__0__file", "files__0__path"])
def test_a_file_name_that_could_point_elsewhere_is_refused(
    tmp_path: Path, where: str, path: str
) -> None:
    part = {"path": "toc.dat", "size": 1, "sha256": "ab" * 32}
    write(tmp_path, files=[part])
    document = json.loads((tmp_path / manifest.FILE).read_text())
    key, _, field = where.split("__")
    document[key][0][field] = path
    (tmp_path / manifest.FILE).write_text(json.dumps(document))
    assert where.replace("__", ".") in refusal(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"\0" * 100,
        b"[" * 1_000_000,
        b'{"a":' * 99999,
    ],
    ids=["empty", "open", "null", "list", "object", "bytes", "zeros", "deep list", "deep object"],
)
def test_anything_but_a_manifest_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / manifest.FILE).write_bytes(data)
    assert "manifest.json is not a manifest: " in refusal(tmp_path)


def test_a_lone_surrogate_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    data = (tmp_path / manifest.FILE).read_text()
    (tmp_path / manifest.FILE).write_text(data.replace("db.example", "\\ud800"))
    assert "is not a manifest" in refusal(tmp_path)


def test_a_manifest_that_is_missing_a_directory_a_link_or_a_fifo_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path) / manifest.FILE
    elsewhere = path.rename(tmp_path / "elsewhere")
    assert "No such file" in refusal(tmp_path)
    path.symlink_to(elsewhere)
    assert "is a link" in refusal(tmp_path)
    path.unlink()
    path.mkdir()
    assert "Is a directory" in refusal(tmp_path)
    path.rmdir()
    os.mkfifo(path)
    assert "is not a plain file" in refusal(tmp_path)


def test_a_manifest_of_absurd_size_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / manifest.FILE).open("wb") as file:
        file.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "larger than it may be" in refusal(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < ROOM >> 10


def test_a_million_errors_cost_no_more_than_reading_them(tmp_path: Path) -> None:
    (tmp_path / manifest.FILE).write_text('{"tables": [' + "0," * 1_000_000 + "0]}")
    code = (
        "import sys, pathlib; from helpers import errors, manifest\n"
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "try: manifest.read(pathlib.Path(sys.argv[1]))\n"
        "except errors.VerificationError: print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < ROOM >> 10


def test_sums_name_every_file_and_the_manifest_in_one_order() -> None:
    parts = tuple(FilePart(path=path, size=1, sha256="cd" * 32) for path in ("z.dat", "a.dat"))
    sums = examples.manifest(files=parts).sums("ef" * 32)
    assert sums.splitlines() == [
        f"{'cd' * 32}  a.dat",
        f"{'ef' * 32}  manifest.json",
        f"{'cd' * 32}  z.dat",
    ]


BOMBS: dict[str, Callable[[], str]] = {
    "roles": lambda: "[" + '"a",' * 4_000_000 + '"a"]',
    "notes": lambda: "[" + "1," * 8_000_000 + "1]",
    "suspect": lambda: "[" + "1," * 8_000_000 + "1]",
    "unknown": lambda: "[" + "{}," * 5_000_000 + "{}]",
    "clients": lambda: "{" + ",".join(f'"{n:020}": 1' for n in range(500_000)) + "}",
}


@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_a_manifest_of_millions_of_values_is_refused_without_being_held_in_memory(
    tmp_path: Path, bomb: str
) -> None:
    text = write(tmp_path).joinpath(manifest.FILE).read_text()
    (tmp_path / manifest.FILE).write_text(f'{text.rstrip()[:-1]}, "{bomb}": {BOMBS[bomb]()}}}')
    code = (
        "import pathlib, resource, sys; from helpers import errors, manifest\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try:\n    manifest.read(pathlib.Path(sys.argv[1]))\n"
        "except errors.VerificationError as error:\n    print(error.what)\n"
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) >> 10)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    said, peak = done.stdout.splitlines()
    assert "far too much" in said
    assert int(peak) < 250
