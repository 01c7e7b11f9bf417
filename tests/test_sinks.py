"""How a table's data comes to lie in its file, whatever shrinks and wherever."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import streams
from helpers.packing import BLOCK
from helpers.sinks import Sink
from helpers.streams import SIGNATURE, TRAILER, DataFacts

HEADER = SIGNATURE + bytes(8)
NOISE = os.urandom


def text(size: int) -> bytes:
    """Bytes that shrink to less than a half, and no two blocks of which are alike."""
    chance = random.Random(size)
    words = b" ".join(b"%x" % chance.getrandbits(20) for _ in range(size // 5))
    return (words * 2)[:size]


def written(path: Path, pieces: list[bytes], compression: str = "auto") -> tuple[Path, DataFacts]:
    """Write a stream by pieces, and hold what is said of it against what verify reads."""
    path.parent.mkdir(exist_ok=True)
    sink = Sink(path, compression)
    for piece in (HEADER, *pieces, TRAILER):
        sink.write(piece)
    facts = sink.finish(rows=7)
    read = streams.binary_data(sink.path)
    assert (read.file, read.bytes, read.sha256) == (facts.file, facts.bytes, facts.sha256)
    whole = b"".join((HEADER, *pieces, TRAILER))
    assert (facts.bytes, facts.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert sorted(path.parent.iterdir()) == [sink.path]
    return sink.path, facts


def test_what_never_shrinks_is_raw_and_what_shrinks_is_gzip(tmp_path: Path) -> None:
    noise, _ = written(tmp_path / "noise" / "1.dat", [NOISE(3 * BLOCK)])
    assert noise.name == "1.dat"
    packed, facts = written(tmp_path / "text" / "1.dat", [text(3 * BLOCK)])
    assert packed.name == "1.dat.gz"
    assert facts.file.size < 0.7 * facts.bytes


def test_what_shrinks_only_behind_its_first_megabyte_is_compressed_all_the_same(
    tmp_path: Path,
) -> None:
    pieces = [NOISE(2 * BLOCK), *(text(BLOCK + n) for n in range(8))]
    path, facts = written(tmp_path / "1.dat", pieces)
    assert path.name == "1.dat.gz"
    assert facts.file.size < 2.1 * BLOCK + 8 * 0.7 * BLOCK


def test_a_little_that_shrinks_does_not_make_a_raw_file_be_written_anew(tmp_path: Path) -> None:
    pieces = [NOISE(12 * BLOCK), text(BLOCK), NOISE(12 * BLOCK)]
    path, _ = written(tmp_path / "1.dat", pieces)
    assert path.name == "1.dat"


def test_what_stops_to_shrink_is_stored_in_the_gzip_file_and_may_shrink_again(
    tmp_path: Path,
) -> None:
    pieces = [text(BLOCK), NOISE(6 * BLOCK), *(text(BLOCK + n) for n in range(4))]
    path, facts = written(tmp_path / "1.dat", pieces)
    assert path.name == "1.dat.gz"
    stored = path.read_bytes()
    # bytes that were stored can be found as they are, if not those at a stored block's ends
    assert pieces[1][3 * BLOCK : 3 * BLOCK + 1000] in stored
    assert facts.file.size < 6.1 * BLOCK + 5 * 0.7 * BLOCK


@pytest.mark.parametrize(
    ("compression", "suffix"), [("gzip", ".gz"), ("zstd", ".zst"), ("none", ".dat")]
)
def test_what_was_asked_for_holds_whatever_comes(
    tmp_path: Path, compression: str, suffix: str
) -> None:
    pieces = [NOISE(BLOCK), text(2 * BLOCK), NOISE(BLOCK)]
    path, facts = written(tmp_path / "1.dat", pieces, compression)
    assert path.suffix == suffix
    assert facts.file.size < 1.01 * facts.bytes
    if compression != "none":
        assert facts.file.size < 0.8 * facts.bytes


def test_gzip_itself_reads_the_file(tmp_path: Path) -> None:
    pieces = [text(BLOCK), NOISE(2 * BLOCK), text(BLOCK + 1)]
    path, facts = written(tmp_path / "1.dat", pieces)
    done = subprocess.run(["gzip", "-dc", str(path)], capture_output=True, check=True)
    assert hashlib.sha256(done.stdout).hexdigest() == facts.sha256


def test_writing_anew_is_flat_in_memory(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from helpers.sinks import Sink\n"
        "from helpers.packing import BLOCK; from helpers.streams import SIGNATURE, TRAILER\n"
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "sink = Sink(pathlib.Path(sys.argv[1]), 'auto'); before = peak()\n"
        "sink.write(SIGNATURE + bytes(8) + os.urandom(BLOCK))\n"
        "for _ in range(30): sink.write(os.urandom(BLOCK))\n"
        "for _ in range(60): sink.write(b'shrinks a lot ' * (BLOCK // 14))\n"
        "sink.write(TRAILER); sink.finish(1); print(sink.path.suffix, peak() - before)\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "1.dat")]
    suffix, grown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert suffix == ".gz"
    assert int(grown) < 24 << 10
