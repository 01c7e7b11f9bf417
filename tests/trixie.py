"""PostgreSQL 17 as Debian 13 builds it, with lz4, zstd, ICU and TLS: unpacked beside everything
else, and run from there with the libraries of that distribution.

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

MAJOR = 17
SUITE = "trixie"
PACKAGES = ("libc-bin", "postgresql-17", "postgresql-17-pgvector")
"""The first has the locale C.UTF-8; contrib is in the second."""

PLACE = CACHE.with_name(f"{CACHE.name}-postgresql")
"""Open to all, unlike the cache of hosts: root's servers run as nobody."""

_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_OPTIONS = (
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=Acquire::Check-Date "false"',
    '--aptopt=Acquire::Languages "none"',
)

_WRAPPER = """#!/bin/sh
# PostgreSQL looks for its own files from where argv[0] lies.
export LOCPATH='{root}/usr/lib/locale'
exec '{loader}' --library-path '{libraries}' --argv0 "$0" '{program}' "$@"
"""


class MissingError(Exception):
    """PostgreSQL 17 cannot be had on this machine; the message says why."""


@cache
def bin_dir() -> Path:
    """The directory of its programs, unpacked in half a minute if this machine has none yet.

    Raises MissingError where that cannot be done.
    """
    made_of = "|".join((SUITE, *PACKAGES, *_OPTIONS, _WRAPPER))
    root = PLACE / f"postgresql-{MAJOR}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    if os.geteuid() != 0:
        raise MissingError("only root unpacks Debian's packages")
    PLACE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(root)
    return root / f"usr/lib/postgresql/{MAJOR}/bin"


def _unpack(root: Path) -> None:
    unfinished = root.with_name(f"new-{root.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    sources = unfinished.with_suffix(".sources")
    sources.write_text(_renamed())
    words = ["mmdebstrap", "--quiet", "--variant=extract", "--mode=root", "--format=directory"]
    words += [*_OPTIONS, f"--include={','.join(PACKAGES)}", SUITE, str(unfinished), str(sources)]
    try:
        run(*words)
    except (HostError, OSError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise MissingError(f"Debian's packages of {SUITE} cannot be unpacked: {error}") from error
    finally:
        sources.unlink()
    _wrap(unfinished, root)
    unfinished.rename(root)


def _renamed() -> str:
    """This machine's package sources, of the suite that has the packages."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or not _SOURCES.exists():
        raise MissingError(f"this machine is no Debian with a file {_SOURCES.name}")
    return re.sub(rf"\b{release['VERSION_CODENAME']}\b", SUITE, _SOURCES.read_text())


def _wrap(place: Path, root: Path) -> None:
    """Put a script in each program's place, which starts it with its own loader and libraries.

    The machine's would be another release's.
    """
    bin_dir = place / f"usr/lib/postgresql/{MAJOR}/bin"
    programs = bin_dir.with_name("programs")
    bin_dir.rename(programs)
    bin_dir.mkdir()
    loader = next(place.glob("usr/lib/*/ld-linux*.so.*"))
    for program in programs.iterdir():
        wrapper = bin_dir / program.name
        values = {
            "root": root,
            "loader": root / loader.relative_to(place),
            "libraries": root / loader.parent.relative_to(place),
            "program": root / program.relative_to(place),
        }
        wrapper.write_text(_WRAPPER.format(**values))
        wrapper.chmod(0o755)
