"""verification.json: what was found is kept, replaced in one step, and every change to it seen."""

from __future__ import annotations

import json
import multiprocessing
import os
from datetime import timedelta
from pathlib import Path

import pytest

from helpers import checks
from helpers.checks import Accepted, Check, Outcome, Verification
from helpers.errors import VerificationError
from helpers.manifest import VERIFICATION

from .examples import TIME

DIGEST = "ab" * 32


def check(depth: int, outcome: Outcome = "passed", *problems: str) -> Check:
    return Check(depth=depth, outcome=outcome, time=TIME, problems=problems)


def record(*found: Check) -> Verification:
    return Verification(manifest_sha256=DIGEST, checks=found)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "backup"
    place.mkdir()
    return place


def test_a_backup_without_a_record_has_none(directory: Path) -> None:
    assert checks.read(directory) is None


def test_a_record_reads_back_as_it_was_written(directory: Path) -> None:
    written = record(check(1), check(2, "failed", 'ä "quoted" \x1b[2J line\nbreak')).model_copy(
        update={"accepted": Accepted(time=TIME, by="somebody")}
    )
    checks.write(directory, written)
    assert checks.read(directory) == written
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]
    assert (directory / VERIFICATION).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("found", "depth"),
    [
        ((), 0),
        ((check(1),), 1),
        ((check(1), check(2)), 2),
        ((check(1), check(2), check(3)), 3),
        ((check(1), check(2), check(3, "cannot judge")), 2),
        ((check(1), check(2), check(3, "failed")), 0),
        ((check(1, "failed"), check(2)), 0),
        ((check(3, "cannot judge"),), 0),
    ],
)
def test_the_depth_is_the_deepest_passed_unless_anything_failed(
    found: tuple[Check, ...], depth: int
) -> None:
    assert record(*found).depth == depth


def test_a_newer_result_replaces_the_one_of_its_depth_alone() -> None:
    later = check(2).model_copy(update={"time": TIME + timedelta(days=1)})
    after = record(check(1), check(2, "failed", "why"), check(3)).with_checks(later)
    assert after.checks == (check(1), later, check(3))
    assert after.outcome(2) == later
    assert after.outcome(4) is None


def test_a_flipped_bit_in_any_byte_of_a_record_is_seen(directory: Path) -> None:
    checks.write(directory, record(check(1), check(2, "failed", "wrong")))
    path = directory / VERIFICATION
    data = path.read_bytes()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(VerificationError):
            checks.read(directory)


def test_every_truncation_and_any_byte_more_of_a_record_is_seen(directory: Path) -> None:
    checks.write(directory, record(check(1)))
    path = directory / VERIFICATION
    data = path.read_bytes()
    for damaged in [*(data[:length] for length in range(len(data))), data + b" ", data + b"\n"]:
        path.write_bytes(damaged)
        with pytest.raises(VerificationError):
            checks.read(directory)


def test_an_outcome_edited_by_hand_is_seen(directory: Path) -> None:
    checks.write(directory, record(check(2, "failed", "wrong")))
    path = directory / VERIFICATION
    document = json.loads(path.read_text())
    document["checks"][0] |= {"outcome": "passed", "problems": []}
    path.write_text(json.dumps(document, indent=1) + "\n")
    with pytest.raises(VerificationError, match=r"verification\.json was changed or is damaged"):
        checks.read(directory)


@pytest.mark.parametrize("data", [b"", b"[" * 100_000, b"null", b'{"checks": [' + b"0," * 9999])
def test_anything_but_a_record_is_refused(directory: Path, data: bytes) -> None:
    (directory / VERIFICATION).write_bytes(data)
    with pytest.raises(VerificationError):
        checks.read(directory)


def test_a_record_that_is_a_link_a_fifo_or_absurdly_large_is_refused(directory: Path) -> None:
    checks.write(directory, record(check(1)))
    path = directory / VERIFICATION
    elsewhere = path.rename(directory.parent / "elsewhere")
    path.symlink_to(elsewhere)
    with pytest.raises(VerificationError, match="is a link"):
        checks.read(directory)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(VerificationError, match="not a plain file"):
        checks.read(directory)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(VerificationError, match="larger than it may be"):
        checks.read(directory)


def test_a_record_that_was_a_link_is_replaced_and_its_target_left_alone(directory: Path) -> None:
    target = directory.parent / "target"
    target.write_text("precious")
    (directory / VERIFICATION).symlink_to(target)
    checks.write(directory, record(check(1)))
    assert checks.read(directory) == record(check(1))
    assert target.read_text() == "precious"


def test_what_somebody_put_in_the_way_of_a_new_record_is_neither_followed_nor_waited_for(
    directory: Path,
) -> None:
    target = directory.parent / "target"
    target.write_text("precious")
    way = directory.parent / f".verification-{directory.name}"
    for put in (lambda: way.symlink_to(target), lambda: os.mkfifo(way), way.touch):
        put()
        checks.write(directory, record(check(1)))
        assert checks.read(directory) == record(check(1))
        assert not os.path.lexists(way)
    assert target.read_text() == "precious"


def _append(directory: Path, rounds: int) -> None:
    for _ in range(rounds):
        with checks.exclusive(directory):
            found = checks.read(directory) or record()
            more = Check(depth=len(found.checks), outcome="passed", time=TIME)
            checks.write(directory, found.with_checks(more))


def test_two_writers_lose_nothing_of_each_other(directory: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(directory, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = checks.read(directory)
    assert found is not None
    assert len(found.checks) == 60


def test_a_directory_that_cannot_be_written_keeps_its_record(directory: Path) -> None:
    checks.write(directory, record(check(1)))
    with pytest.raises(OSError, match="No such file"):
        checks.write(directory / "gone", record(check(2)))
    assert checks.read(directory) == record(check(1))
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]
