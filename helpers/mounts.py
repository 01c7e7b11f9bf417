"""Whether the file system that a directory should be on is mounted: what fstab(5) says (Linux)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

FSTAB: Final = Path("/etc/fstab")
MOUNTED: Final = Path("/proc/self/mountinfo")

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_POINT_IN_FSTAB, _POINT_IN_MOUNTED = 1, 4


def missing(directory: Path) -> Path | None:
    """The mount point in fstab that `directory` is at or below, if nothing is mounted there.

    None if all is well, or where one of the tables cannot be read: then nobody knows. No mount
    point is looked at, only its name: a dead file server would not answer.
    """
    own = directory.resolve()
    chain = {own, *own.parents}
    mounted = _points(MOUNTED, _POINT_IN_MOUNTED)
    # The root is always there, though not in every container's table.
    for point in sorted(chain & _points(FSTAB, _POINT_IN_FSTAB) - {Path("/")}):
        # What is mounted further down, by whatever other means, is where the directory is.
        if mounted and not any(one.is_relative_to(point) for one in chain & mounted):
            return point
    return None


def _points(table: Path, column: int) -> set[Path]:
    """The mount points that a table of file systems names; none if it cannot be read."""
    try:
        lines = table.read_bytes().splitlines()
    except OSError:
        return set()
    rows = [line.split() for line in lines if not line.lstrip().startswith(b"#")]
    return {Path(os.fsdecode(_ESCAPE.sub(_byte, row[column]))) for row in rows if len(row) > column}


def _byte(match: re.Match[bytes]) -> bytes:
    """Both tables write a blank or tab of a path as an octal number."""
    return bytes([int(match[1], 8)])
