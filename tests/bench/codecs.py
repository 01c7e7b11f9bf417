"""Measure what gzip and zstd make of text and of embeddings, block by block as a backup does:
`python -m tests.bench.codecs [MEGABYTES]`.
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
from isal import isal_zlib

from helpers import packing
from helpers.packing import BLOCK, zstd
from helpers.scratch import ScratchServer

from . import databases
from .__main__ import PLACE

_GZIP = 31
_ROUNDS = 3

Codec = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


def _igzip(level: int) -> Codec:
    return (
        lambda block: isal_zlib.compress(block, level, _GZIP),
        lambda packed: isal_zlib.decompress(packed, _GZIP),
    )


def _zlib(level: int) -> Codec:
    return (
        lambda block: zlib.compress(block, level, _GZIP),
        lambda packed: zlib.decompress(packed, _GZIP),
    )


def _zstd(level: int) -> Codec:
    return lambda block: zstd.compress(block, level), zstd.decompress


CODECS: dict[str, Codec] = {
    "gzip 1, igzip's (ours)": _igzip(1),
    "gzip 1, zlib's (pg_dump's)": _zlib(1),
    "gzip 6, zlib's": _zlib(6),
    "zstd 1": _zstd(1),
    f"zstd {packing.ZSTD_LEVEL} (ours)": _zstd(packing.ZSTD_LEVEL),
    "zstd 6": _zstd(6),
}


def main() -> None:
    """Print a table for each kind of data; speeds are by processor time, the best of three."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for name, data in (("text", _text(megabytes << 20)), ("embeddings", _embeddings(megabytes))):
        blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
        print(f"\n{name}, {len(data) / 1e6:,.0f} MB\n")
        print("| | of its size | MB/s | back, MB/s |\n|---|--:|--:|--:|")
        for codec, pair in CODECS.items():
            print(f"| {codec} | {_measured(blocks, pair)} |")


def _text(size: int) -> bytes:
    """What people wrote: the sources of Python's own library, as far as needed.

    The text of `make bench` repeats its sentences, which zstd sees from further away than gzip.
    """
    data = b""
    for path in sorted(Path(os.__file__).parent.glob("**/*.py")):
        if "site-packages" not in path.parts and len(data) < size:
            data += path.read_bytes()
    return data[:size]


def _embeddings(megabytes: int) -> bytes:
    """Rows of text and vectors, as COPY gives them in binary."""
    with (
        ScratchServer(PLACE / "codecs", bound=True) as server,
        psycopg.connect(server.url(), autocommit=True) as connection,
    ):
        connection.execute(databases.statements("vector", megabytes).encode())
        statement = b"COPY public.embeddings TO STDOUT (FORMAT binary)"
        with connection.cursor().copy(statement) as copy:
            return b"".join(map(bytes, copy))


def _measured(blocks: Sequence[bytes], codec: Codec) -> str:
    pack, unpack = codec
    size = sum(map(len, blocks))
    there, packed = _best(pack, blocks)
    back, plain = _best(unpack, packed)
    assert plain == list(blocks)
    share = sum(map(len, packed)) / size
    return f"{share:.3f} | {size / 1e6 / there:,.0f} | {size / 1e6 / back:,.0f}"


def _best(work: Callable[[bytes], bytes], blocks: Sequence[bytes]) -> tuple[float, list[bytes]]:
    taken = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        made = [work(block) for block in blocks]
        taken.append(time.process_time() - began)
    return min(taken), made


if __name__ == "__main__":
    main()
