"""PostgreSQL as other releases of Debian build it: unpacked beside everything else, and run from
there with the libraries of that release.

The packages come from this machine's own sources under another suite's name; apt checks their
signatures. Nothing is installed, and no script of a package runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from .hosts.rootfs import CACHE
from .hosts.shell import HostError, run

MAJORS = {
    17: ("trixie", ("libc-bin", "postgresql-17", "postgresql-17-pgvector")),
    13: ("bullseye", ("libc-bin", "postgresql-13")),
}
"""Each major's suite and packages: Debian 13's has pgvector, lz4 and zstd, too, Debian 11's none of
them. libc-bin has the locale C.UTF-8, postgresql-* the extensions of contrib."""

PLACE = CACHE.with_name(f"{CACHE.name}-postgresql")
"""Open to all, unlike the cache of hosts: root's servers run as nobody."""

_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_OPTIONS = (
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=Acquire::Check-Date "false"',
    '--aptopt=Acquire::Languages "none"',
)

_WAY = "own loader and libraries"
"""What is done to what is unpacked: another word, another directory."""


class MissingError(Exception):
    """A PostgreSQL cannot be had on this machine; the message says why."""


@cache
def bin_dir(major: int) -> Path:
    """The directory of a major's programs, unpacked in half a minute if this machine has none yet.

    Raises MissingError where that cannot be done.
    """
    suite, packages = MAJORS[major]
    made_of = "|".join((suite, *packages, *_OPTIONS, _WAY))
    root = PLACE / f"postgresql-{major}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    if os.geteuid() != 0:
        raise MissingError("only root unpacks Debian's packages")
    PLACE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(root, suite, packages)
    return root / f"usr/lib/postgresql/{major}/bin"


def _unpack(root: Path, suite: str, packages: tuple[str, ...]) -> None:
    unfinished = root.with_name(f"new-{root.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    sources = unfinished.with_suffix(".sources")
    sources.write_text(_renamed(suite))
    words = ["mmdebstrap", "--quiet", "--variant=extract", "--mode=root", "--format=directory"]
    words += [*_OPTIONS, f"--include={','.join(packages)}", suite, str(unfinished), str(sources)]
    try:
        run(*words)
        _bind(unfinished, root)
    except (HostError, OSError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise MissingError(f"Debian's packages of {suite} cannot be unpacked: {error}") from error
    finally:
        sources.unlink()
    unfinished.rename(root)


def _renamed(suite: str) -> str:
    """This machine's package sources, of the suite that has the packages."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or not _SOURCES.exists():
        raise MissingError(f"this machine is no Debian with a file {_SOURCES.name}")
    return re.sub(rf"\b{release['VERSION_CODENAME']}\b", suite, _SOURCES.read_text())


def _bind(place: Path, root: Path) -> None:
    """Make each program start with the loader and the libraries of its own release, in `root`.

    The machine's would be another's.
    """
    folders = [found for top in ("usr/lib", "lib") for found in place.glob(f"{top}/*-linux-gnu")]
    loader = next(found for folder in folders for found in folder.glob("ld-linux*.so.*"))
    libraries = ":".join(str(root / folder.relative_to(place)) for folder in folders)
    words = ["--set-interpreter", str(root / loader.relative_to(place))]
    words += ["--force-rpath", "--set-rpath", libraries]  # an rpath also counts for modules
    run("patchelf", *words, *map(str, place.glob("usr/lib/postgresql/*/bin/*")))
