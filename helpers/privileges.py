"""Drop root for PostgreSQL, which refuses to run as root, without making a user."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from .errors import ConfigError


def dropped(argv: Sequence[str]) -> list[str]:
    """`argv` as PostgreSQL accepts it: root becomes nobody, anyone else stays who they are.

    CAP_DAC_OVERRIDE stays, since nobody cannot enter a checkout below /root, and no directory is
    to be opened up for it. ConfigError without setpriv or the user.
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
    kept = ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return [setpriv, *ids, *kept, "--", *argv]


def give_to_server(directory: Path) -> None:
    """Make the user that `dropped` runs as the owner of a directory that we made."""
    if os.geteuid() == 0:
        user = _nobody()
        os.chown(directory, user.pw_uid, user.pw_gid)


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise ConfigError(
            "PostgreSQL does not run as root, and this system has no user named nobody.",
            "Run this as an ordinary user.",
        ) from error
