"""The names of backups: database, environment and time, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, unquote

_NAME = re.compile(
    r"(?P<database>[^/\0\n.][^/\0\n]*)_(?P<environment>[A-Za-z][A-Za-z0-9-]*)_"
    r"(?P<time>\d{8}T\d{6}Z)"
)


@dataclass(frozen=True)
class Name:
    """A backup's name in its parts; `database` as the server calls it."""

    database: str
    environment: str
    time: datetime

    def __str__(self) -> str:
        # Several times as fast as strftime, which counts for thousands of names.
        time = self.time.isoformat(timespec="seconds")[:19]
        return f"{self.series}_{time.replace('-', '').replace(':', '')}Z"

    @property
    def series(self) -> str:
        """What the backups of one database and environment share."""
        return f"{_encoded(self.database)}_{self.environment}"


@lru_cache(maxsize=256)
def _encoded(database: str) -> str:
    """A percent sign for what a file name cannot hold, or a shell would trip over."""
    encoded = quote(database, safe="")
    return "%2E" + encoded[1:] if encoded.startswith(".") else encoded


def parse_name(text: str) -> Name | None:
    """The parts of a backup's name; None if it is no such name."""
    match = _NAME.fullmatch(text)
    if not match:
        return None
    try:
        time = datetime.fromisoformat(match["time"])
    except ValueError:
        return None
    name = Name(unquote(match["database"]), match["environment"], time)
    try:
        return name if str(name) == text else None
    except UnicodeEncodeError:  # bytes that are no text, in a directory of somebody else's
        return None
