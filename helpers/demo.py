"""The demonstration: a throwaway database under .demo, ready to be backed up."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from . import listing, postgres, sampledata
from .errors import ConfigError, RefusedError
from .scratch import ScratchServer
from .store import Store

ENVIRONMENT = "demo"
DATABASE = "chat"
_MARK = "# Written by `make demo`; `make demo-clean` removes it.\n"
_CONVERSATIONS, _EMBEDDINGS = 400, 600
_TABLES = "conversations,messages,project_knowledge,conversation_index"


def start(root: Path) -> ScratchServer:
    """Start the server, load the sample data once, and write the environment's env file."""
    env_file = root / f".env.{ENVIRONMENT}"
    _refuse_strangers(env_file)
    place = root / ".demo"
    store = place / "backups"
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = ScratchServer(place / "server")
    server.start()
    _load(server)
    env_file.touch(mode=0o600)
    env_file.write_text(
        f"{_MARK}BACKUP_ENV={ENVIRONMENT}\nBACKUP_DIR={store}\n"
        f"DATABASE_URL={server.url(DATABASE)}\nBACKUP_REQUIRED_TABLES={_TABLES}\n",
        encoding="utf-8",
    )
    return server


def clean(root: Path) -> None:
    """Stop the server and remove everything the demonstration made."""
    env_file = root / f".env.{ENVIRONMENT}"
    _refuse_strangers(env_file)
    place = root / ".demo"
    if place.exists():
        ScratchServer(place / "server").remove()
        shutil.rmtree(place)
    env_file.unlink(missing_ok=True)


def how_to_restore(root: Path) -> str:
    """Where the newest backup is, and the stock commands that restore it beside its source."""
    store = Store(root / ".demo" / "backups")
    newest = next((b for b in listing.backups(store, ENVIRONMENT) if b.verified), None)
    if newest is None:
        raise RefusedError("There is no verified backup to restore.", "Run make demo again.")
    server = ScratchServer(root / ".demo" / "server")
    passfile = root / ".demo" / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"127.0.0.1:{server.port}:*:postgres:{server.password}\n")
    return f"""
The backup is a plain pg_dump archive with a manifest:
  {newest.path}
Restore it beside its source with stock PostgreSQL (RESTORE.md in it says more):
  export PATH={shlex.quote(str(server.bin_dir))}:$PATH PGPASSFILE={shlex.quote(str(passfile))}
  export PGHOST=127.0.0.1 PGPORT={server.port} PGUSER=postgres
  createdb chat_restored
  pg_restore --jobs=2 --exit-on-error --dbname=chat_restored \\
    {shlex.quote(str(newest.path))}
Stop the server and remove everything again:
  make demo-clean"""


def _load(server: ScratchServer) -> None:
    """Make the sample database, once: it appears under its name only when it is complete."""
    with postgres.connect(postgres.parameters(server.url())) as session:
        if session.query("SELECT FROM pg_catalog.pg_database WHERE datname = %s", DATABASE):
            return
        session.execute("DROP DATABASE IF EXISTS chat_loading WITH (FORCE)")
        session.execute("CREATE DATABASE chat_loading")
        with postgres.connect(postgres.parameters(server.url("chat_loading"))) as loading:
            loading.execute("SET search_path = public")
            loading.execute(sampledata.statements(_CONVERSATIONS, _EMBEDDINGS))
        session.execute(f"ALTER DATABASE chat_loading RENAME TO {DATABASE}")


def _refuse_strangers(env_file: Path) -> None:
    """An env file that somebody else wrote is neither replaced nor removed."""
    if env_file.exists() and not env_file.read_text(encoding="utf-8").startswith(_MARK):
        raise ConfigError(
            f"{env_file} was not written by make demo.",
            "Move it away: the demonstration needs that name.",
        )
