"""What a server says of itself and of a database: facts, tables, columns, and how to reach it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


def major(version: str) -> int:
    """The major of a version as PostgreSQL writes it; 0 if it is none."""
    match = re.match(r"\d+", version)
    return int(match[0]) if match else 0


@dataclass(frozen=True)
class Facts:
    """What a server says of itself and of the database; `size` in bytes, indexes included."""

    version_num: int
    version: str
    database: str
    user: str
    encoding: str
    collation: str
    size: int
    in_recovery: bool
    system_identifier: str | None = None

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.version_num // 10000


@dataclass(frozen=True)
class Column:
    """A column as the archive holds it; generated ones have no data."""

    name: str
    type: str
    generated: bool


@dataclass(frozen=True)
class Table:
    """A table that pg_dump locks, and dumps unless it is a partitioned parent."""

    oid: int
    schema: str
    name: str
    parent: bool
    readable: bool
    row_security: bool
    extension: bool
    root: str | None

    @property
    def qualified(self) -> str:
        """schema.name, for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Target:
    """Where the stock clients shall connect: a conninfo without secrets, and the password."""

    conninfo: str
    database: str
    password: str = field(repr=False)
    tls: bool

    @property
    def env(self) -> dict[str, str]:
        """What a client needs in its environment, which only its own user can read."""
        return {"PGPASSWORD": self.password} if self.password else {}
