"""Drop root for PostgreSQL, which refuses to run as root, without making a user."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from .errors import ConfigError


def dropped(argv: Sequence[str], needed: Sequence[Path] | None = None) -> list[str]:
    """`argv` as PostgreSQL accepts it: root becomes nobody, anyone else stays who they are.

    CAP_DAC_OVERRIDE stays unless the directories that are `needed` are open to everybody: nobody
    cannot enter a checkout below /root, and no directory is to be opened up for it. ConfigError
    without setpriv or the user.
    """
    if os.geteuid() != 0:
        return list(argv)
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise ConfigError(
            "PostgreSQL does not run as root, and setpriv is not installed to become nobody.",
            "Install util-linux, or run this as an ordinary user.",
        )
    user = _nobody()
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    more = "" if needed and all(map(_is_open, needed)) else ",+dac_override"
    kept = [f"--inh-caps=-all{more}", f"--ambient-caps=-all{more}"]
    return [setpriv, *ids, *kept, "--", *argv]


def give_to_server(path: Path) -> None:
    """Make the user that `dropped` runs as the owner of what we made."""
    if os.geteuid() == 0:
        user = _nobody()
        os.chown(path, user.pw_uid, user.pw_gid)


def _is_open(directory: Path) -> bool:
    place = directory.resolve()
    return all(one.stat().st_mode & stat.S_IXOTH for one in (place, *place.parents))


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise ConfigError(
            "PostgreSQL does not run as root, and this system has no user named nobody.",
            "Run this as an ordinary user.",
        ) from error
