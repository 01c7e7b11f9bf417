"""Write RESTORE.md: how to restore this very backup with stock tools alone."""

from __future__ import annotations

import shlex
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from .clients import Client
from .dump import Dumped
from .names import Name


@cache
def _templates() -> Environment:
    return Environment(  # noqa: S701 - Markdown, not HTML
        loader=PackageLoader("helpers"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )


def restore_md(name: Name, dumped: Dumped, client: Client, *, has_globals: bool, zstd: bool) -> str:
    """The text of RESTORE.md, with the commands quoted for a POSIX shell."""
    return (
        _templates()
        .get_template("RESTORE.md.j2")
        .render(
            name=name,
            client=client,
            database=dumped.facts.database,
            facts=dumped.facts,
            taken=dumped.taken.isoformat(timespec="seconds"),
            roles=dumped.roles,
            extensions=[f"{extension} {version}" for extension, version, _ in dumped.extensions],
            target=shlex.quote(dumped.facts.database),
            # a server's default locale has an encoding of its own, which is UTF-8 nearly always
            locale="" if dumped.facts.encoding == "UTF8" else _locale(dumped.facts.collation),
            connection=shlex.quote(_connection(dumped.facts.database)),
            has_globals=has_globals,
            zstd=zstd,
            binary=len(dumped.copied),
        )
    )


def _connection(database: str) -> str:
    """The database as --dbname takes it: a name that looks like a conninfo or URL is spelt out."""
    if "=" not in database and "://" not in database:
        return database
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def _locale(collation: str) -> str:
    return f" --locale={shlex.quote(collation)}"
