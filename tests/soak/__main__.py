"""Repeat the small case on the server of every major at hand, and say what came of it."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

from helpers.scratch import ScratchServer

from ..servers import MAJORS, SETTINGS, installed
from . import rounds


def main() -> int:
    """Run as many rounds as are asked for, an equal share on each server; 1 if any was wrong."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--rounds", type=int, default=1000)
    asked = parser.parse_args()
    places = {major: place for major in MAJORS if (place := installed(major))}
    share = -(-asked.rounds // len(places))
    failed = False
    for seed, (major, bin_dir) in enumerate(places.items()):
        began = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="pgbackup-soak-") as place,
            ScratchServer(Path(place) / "server", bin_dir, bound=True, settings=SETTINGS) as server,
        ):
            found = rounds.run(server, share, Path(place), seed)
        print(
            f"PostgreSQL {major}, Python {platform.python_version()}: {share:,} rounds in "
            f"{time.monotonic() - began:,.0f} s; {found.right:,} restored and right, "
            f"{found.refused.total():,} refused, {len(found.wrong)} wrong",
            flush=True,
        )
        for what, times in found.refused.most_common():
            print(f"  refused {times} times: {what}")
        for what in found.wrong:
            print(f"  wrong: {what}")
        failed = failed or bool(found.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
