"""Data files: read to the end in blocks, hashed and counted, and whatever is wrong is said."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import packing, streams
from helpers.errors import VerificationError
from helpers.packing import BLOCK
from helpers.streams import SIGNATURE, TERMINATOR, TRAILER

ROWS = b"1\tone\n2\ttwo\n3\t\\\\.\n"
ROOM_KIB = 48 << 10
"""What reading may take besides the interpreter and its modules, whatever is read."""

SUFFIXES = ["dat", "dat.gz", "dat.zst"]
Reader = Callable[[Path], object]
READERS: list[Reader] = [streams.file_facts, streams.read_to_end, streams.table_data]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def packed(data: bytes, suffix: str) -> bytes:
    """What a file whose name ends like this holds for `data`."""
    if suffix.endswith("zst"):
        return packing.zstd_packer()(data)
    return gzip.compress(data, 1) if suffix.endswith("gz") else data


def refusal(read: Reader, path: Path) -> str:
    with pytest.raises(VerificationError) as caught:
        read(path)
    return caught.value.what


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_are_counted_and_hashed_without_the_terminator(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"1.{suffix}"
    stored = packed(ROWS + TERMINATOR, suffix)
    path.write_bytes(stored)
    facts = streams.table_data(path)
    assert (facts.rows, facts.bytes, facts.sha256) == (3, len(ROWS), digest(ROWS))
    assert (facts.file.size, facts.file.sha256) == (len(stored), digest(stored))


def test_an_empty_table_has_no_rows_and_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "1.dat"
    path.write_bytes(TERMINATOR)
    facts = streams.table_data(path)
    assert (facts.rows, facts.bytes, facts.sha256) == (0, 0, digest(b""))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_where_blocks_end_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shift = data.draw(st.integers(-8, 8))
    members = data.draw(st.integers(1, 3))
    suffix = data.draw(st.sampled_from(SUFFIXES[1:]))
    row = os.urandom(700).replace(b"\n", b"") + b"\n"
    rows = (row * (2 * BLOCK // len(row)))[: 2 * BLOCK + shift - 1] + b"\n"
    whole = rows + TERMINATOR
    step = -(-len(whole) // members)
    path = tmp_path_factory.mktemp("blocks") / f"1.{suffix}"
    pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
    path.write_bytes(b"".join(packed(piece, suffix) for piece in pieces))
    facts = streams.table_data(path)
    assert (facts.bytes, facts.sha256) == (len(rows), digest(rows))
    assert facts.rows == rows.count(b"\n")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_of_a_tables_data_is_seen(tmp_path: Path, suffix: str) -> None:
    stored = packed(ROWS + TERMINATOR, suffix)
    path = tmp_path / f"1.{suffix}"
    for length in range(len(stored)):
        path.write_bytes(stored[:length])
        assert path.name in refusal(streams.table_data, path)


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_every_truncation_of_a_compressed_large_object_is_seen(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"blob_1.{suffix}"
    for content in (b"", b"x" * 100):
        stored = packed(content, suffix)
        for length in range(len(stored)):
            path.write_bytes(stored[:length])
            assert "cut off" in refusal(streams.read_to_end, path)


def test_a_changed_checksum_or_length_behind_gzip_data_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "1.dat.gz"
    stored = gzip.compress(ROWS + TERMINATOR)
    for place in range(-8, 0):
        damaged = bytearray(stored)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        assert "does not decompress" in refusal(streams.table_data, path)


@pytest.mark.parametrize("more", [b"x", TERMINATOR, b"\0", gzip.compress(b"4\tfour\n", mtime=0)])
def test_data_that_goes_on_behind_its_end_is_seen(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "1.dat.gz"
    path.write_bytes(gzip.compress(ROWS + TERMINATOR) + more)
    try:
        facts = streams.table_data(path)
    except VerificationError:
        return
    assert facts.sha256 != digest(ROWS)


def test_zlib_data_under_a_gzip_name_does_not_pass(tmp_path: Path) -> None:
    path = tmp_path / "1.dat.gz"
    path.write_bytes(zlib.compress(ROWS + TERMINATOR))
    assert "does not decompress" in refusal(streams.table_data, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_binary_data_must_begin_and_end_as_such_data_does(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"1.{suffix}"
    rows = b"\0\1\0\0\0\4abcd"
    header = SIGNATURE + bytes(8)

    def write(content: bytes) -> Path:
        path.write_bytes(packed(content, suffix))
        return path

    whole = header + rows + TRAILER
    facts = streams.binary_data(write(whole))
    assert (facts.rows, facts.bytes, facts.sha256) == (None, len(whole), digest(whole))
    assert "does not begin" in refusal(streams.binary_data, write(b"X" + whole[1:]))
    assert "does not begin" in refusal(streams.binary_data, write(b""))
    assert "ends before" in refusal(streams.binary_data, write(header + rows))
    assert "ends before" in refusal(streams.binary_data, write(whole[:-1]))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_zstd_data_is_seen_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = [b"%d\tsome text that shrinks a little, %d\n" % (n, n % 7) for n in range(40)]
    frames = [packed(piece, "zst") for piece in (b"".join(rows), b"".join(rows[:3]) + TERMINATOR)]
    stored = bytearray(b"".join(frames))
    whole = digest(b"".join(rows + rows[:3]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(stored) - 1))
        length = data.draw(st.integers(0, 4))
        stored[place : place + length] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.mktemp("changed") / "1.dat.zst"
    path.write_bytes(stored)
    try:
        facts = streams.table_data(path)
    except VerificationError:
        return
    assert facts.sha256 == whole


def test_zstd_data_that_wants_more_memory_than_ours_ever_does_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.dat.zst"
    frame = packing.zstd.ZstdCompressor(
        options={packing.zstd.CompressionParameter.window_log: packing.WIDEST}
    )
    path.write_bytes(frame.compress(ROWS + TERMINATOR, frame.FLUSH_BLOCK) + frame.flush())
    assert "does not decompress" in refusal(streams.table_data, path)
    assert streams.table_data(path, packing.WIDEST).rows == 3


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 3 * BLOCK])
def test_both_ends_of_a_file_are_told(tmp_path: Path, gzipped: bool, length: int) -> None:
    content = os.urandom(length)
    path = tmp_path / "dump"
    path.write_bytes(gzip.compress(content) if gzipped else content)
    assert streams.ends(path, 10, gzipped=gzipped) == (content[:10], content[-10:])


@pytest.mark.parametrize("read", [*READERS, lambda path: streams.read_bounded(path, 10)])
def test_only_a_plain_file_is_read(tmp_path: Path, read: Reader) -> None:
    target = tmp_path / "target.dat"
    target.write_bytes(TERMINATOR)
    path = tmp_path / "1.dat"
    path.symlink_to(target)
    assert refusal(read, path) == "1.dat is a link."
    path.unlink()
    assert refusal(read, path) == "1.dat cannot be read (No such file or directory)."
    path.mkdir()
    assert refusal(read, path) == "1.dat cannot be read (Is a directory)."
    path.rmdir()
    os.mkfifo(path)
    assert refusal(read, path) == "1.dat is not a plain file."


def test_a_file_is_read_whole_up_to_its_bound_and_refused_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert streams.read_bounded(path, 4) == b"1234"
    assert "larger than it may be" in refusal(lambda p: streams.read_bounded(p, 3), path)


@pytest.mark.parametrize(
    ("read", "megabytes", "suffix"),
    [
        ("table_data", 1024, "gz"),
        ("read_to_end", 128, "gz"),
        ("binary_data", 128, "gz"),
        ("table_data", 256, "zst"),
        ("read_to_end", 1024, "zst"),
    ],
)
def test_a_gigabyte_of_zeros_in_a_megabyte_stays_flat_in_memory(
    tmp_path: Path, read: str, megabytes: int, suffix: str
) -> None:
    path = tmp_path / f"1.dat.{suffix}"
    squeeze: Any = zlib.compressobj(1, zlib.DEFLATED, 31)
    if suffix == "zst":  # one frame, which refers back as far as one may
        widest = {packing.zstd.CompressionParameter.window_log: packing.WINDOW}
        squeeze = packing.zstd.ZstdCompressor(options=widest)
    with path.open("wb") as file:
        zeros = bytes(1 << 24)
        for _ in range(megabytes // 16):
            file.write(squeeze.compress(zeros))
        file.write(squeeze.flush())
    assert path.stat().st_size < 8 << 20
    code = (
        "import sys, pathlib; from helpers import errors, streams\n"
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "try: getattr(streams, sys.argv[2])(pathlib.Path(sys.argv[1]))\n"
        "except errors.VerificationError: pass\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, read], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < ROOM_KIB
