"""A backup host's environments each have a system user, and what root asks of one runs as that."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path
from pwd import struct_passwd
from typing import Final

from .names import parse_name
from .settings import HOST_DIR

_ROOTS_OWN: Final = frozenset({"doctor", "check-env", "create-role"})
"""Verbs that look at, or are told, what no environment's user may know."""


def users(host_dir: Path) -> dict[str, struct_passwd]:
    """Each environment's user: the one that bears the name of its env file's group."""
    found = {}
    for path in host_dir.glob("*.env"):
        with suppress(OSError, KeyError):
            found[path.stem] = pwd.getpwnam(grp.getgrgid(path.stat().st_gid).gr_name)
    return found


def account(
    env: str | None, file: str | None, known: dict[str, struct_passwd]
) -> struct_passwd | None:
    """Whose run it is that is about an environment, a backup's name, or a path; None if nobody's.

    Without any of them it is that of the one environment that there is.
    """
    name = parse_name(file) if file else None
    environment = env or (name.environment if name else None)
    if environment:
        return known.get(environment)
    if file and file != "latest":
        with suppress(OSError):
            owner = Path(file).stat().st_uid
            return next((user for user in known.values() if user.pw_uid == owner), None)
    return next(iter(known.values())) if len(known) == 1 else None


def step_down(verb: str, env: str | None, file: str | None) -> None:
    """If we are root and the run is that of an environment's user, begin it anew as that user.

    Nothing that root starts may leave files in a store that its user cannot replace, and nothing
    that a store holds should be read with root's rights.
    """
    if os.geteuid() != 0 or verb in _ROOTS_OWN:
        return
    user = account(env or os.environ.get("BACKUP_ENV"), file, users(HOST_DIR))
    if user is None or user.pw_uid == 0:
        return
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    # Not where root stands: env files there would count, and the user may not look at them.
    os.chdir(user.pw_dir if os.access(user.pw_dir, os.X_OK) else "/")
    own = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    argv = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, argv, {**os.environ, **own})  # noqa: S606 - no shell is wanted
