"""Check an env file before it takes the place of the one that scheduled backups read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from . import settings
from .errors import ConfigError


def check(file: Path, environment: str) -> None:
    """Raise ConfigError, with every problem, unless `file` would do as that environment's.

    It is read under the name it will have, and without this process's environment, which a
    scheduled run does not see.
    """
    with tempfile.TemporaryDirectory() as place:
        stand_in = Path(place) / f"{environment}.env"
        stand_in.symlink_to(file.absolute())
        try:
            found = settings.load(environment, root=Path(place), environ={}, host_dir=Path(place))
        except ConfigError as error:
            raise ConfigError(error.what.replace(f"{stand_in}", f"{file}"), error.do) from error
    if found.store_is_default or not _given_absolute(found.store, Path(place)):
        raise ConfigError(
            f"{file}: BACKUP_DIR is missing or relative.",
            "Name the store by its whole path: a scheduled run stands in no project.",
        )


def _given_absolute(store: Path, place: Path) -> bool:
    return not store.is_relative_to(place)
