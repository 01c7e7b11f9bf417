"""How data files are compressed: gzip members or zstd frames, unpacked in blocks of one size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from isal import isal_zlib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 1 << 20
"""Bytes that are read at once; what they unpack to is taken in pieces of the same size."""

ZSTD_LEVEL = 3
"""zstd's own default, for pg_dump's part too; docs/decisions.md has what another would cost."""

GZ, ZST = ".gz", ".zst"
"""What the name of a compressed file ends with."""

WINDOW, WIDEST = 23, 27
"""Powers of two: how far back zstd data may refer, and how much of it is held in memory. Ours needs
2 MB; pg_restore itself takes 128 MB and no more (zstd.h: ZSTD_WINDOWLOG_LIMIT_DEFAULT)."""

_GZIP = 31  # zlib's window bits for a gzip header
_CUT = "is cut off: its compressed data has no end"
_FRAME: dict[int, int] = {
    zstd.CompressionParameter.compression_level: ZSTD_LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,  # pg_restore sees damage by it
}


class Broken(Exception):  # noqa: N818 - a sentence about a file that only its reader can name
    """What is wrong with compressed data; the sentence follows the file's name."""


def zstd_packer() -> Callable[[bytes], bytes]:
    """What makes each block a frame of its own; every reader takes those for one stream."""
    packer = zstd.ZstdCompressor(options=_FRAME)
    return lambda block: packer.compress(block, mode=packer.FLUSH_FRAME)


def gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of one gzip member after the other; Broken if that is not what it is."""
    inflate, empty = None, True
    try:
        for block in blocks:
            empty = False
            while block:
                inflate = inflate or isal_zlib.decompressobj(wbits=_GZIP)
                yield inflate.decompress(block, BLOCK)
                block = inflate.unconsumed_tail  # noqa: PLW2901
                if inflate.eof:
                    block, inflate = inflate.unused_data, None  # noqa: PLW2901
        while inflate and not inflate.eof and (rest := inflate.decompress(b"", BLOCK)):
            yield rest
    except isal_zlib.error as error:  # type: ignore[misc] # its stub calls the class a variable
        raise Broken(f"does not decompress ({error})") from error
    if empty or (inflate and not inflate.eof):
        raise Broken(_CUT)


def unzstd(blocks: Iterator[bytes], window: int) -> Iterator[bytes]:
    """The content of one zstd frame after the other; Broken if that is not what it is.

    pg_restore itself passes data that is cut off (compress_zstd.c: Zstd_read_internal).
    """
    frame, empty = None, True
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window}
    try:
        for block in blocks:
            empty = False
            while block or (frame and not frame.needs_input):
                frame = frame or zstd.ZstdDecompressor(options=options)
                yield frame.decompress(block, BLOCK)
                block = b""  # noqa: PLW2901 - it keeps what it has not used yet
                if frame.eof:
                    block, frame = frame.unused_data, None  # noqa: PLW2901
    except zstd.ZstdError as error:
        raise Broken(f"does not decompress ({error})") from error
    if empty or frame:
        raise Broken(_CUT)


def unpacked(blocks: Iterator[bytes], path: Path, window: int) -> Iterator[bytes]:
    """What a file holds: decompressed if its name says so, as pg_restore decides it."""
    if path.suffix == ZST:
        return unzstd(blocks, window)
    return gunzip(blocks) if path.suffix == GZ else blocks


def is_packed(path: Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return path.suffix in {GZ, ZST}


def bare(name: str) -> str:
    """A data file's name as the table of contents has it."""
    return name.removesuffix(Path(name).suffix) if is_packed(Path(name)) else name


def found(path: Path) -> Path:
    """A data file as it lies there: raw if it does, else compressed, as pg_restore looks for it."""
    names = (path.with_name(path.name + suffix) for suffix in ("", GZ, ZST))
    return next((name for name in names if name.exists()), path)
