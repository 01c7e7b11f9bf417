"""Clients of a PostgreSQL that does not exist yet: they write archives of an unknown version."""

from __future__ import annotations

from pathlib import Path

# The stock tool does all the work. A fake is what it takes: no such pg_dump has been written.
_PG_DUMP = """#!/bin/sh
"{tools}/pg_dump" "$@" || exit
for word; do
  case $word in --file=*) printf '\\143' | dd of="${{word#--file=}}/toc.dat" {place};; esac
done
"""

_PG_RESTORE = """#!/bin/sh
for place; do :; done  # the last argument is the archive
copy=$(mktemp -d) && trap 'rm -r "$copy"' EXIT
cp "$place"/* "$copy"
printf '\\{minor:03o}' | dd of="$copy/toc.dat" {place}
words=$*
"{tools}/pg_restore" ${{words%"$place"}} "$copy"
"""

_OTHER = """#!/bin/sh
exec "{tools}/{name}" "$@"
"""

_MINORS = {13: 14, 15: 14, 16: 15, 17: 16, 18: 16}
_PLACE = "bs=1 seek=6 conv=notrunc status=none"
"""Where an archive says its minor version."""

VERSION = "1.99"


def clients(tools: Path, major: int, place: Path) -> Path:
    """A directory with tools that work as those in `tools` do, but for the archive's version."""
    place.mkdir()
    values = {"tools": tools, "place": _PLACE, "minor": _MINORS[major]}
    scripts = {"pg_dump": _PG_DUMP, "pg_restore": _PG_RESTORE}
    for name in ("pg_dump", "pg_restore", "psql", "pg_dumpall"):
        path = place / name
        path.write_text(scripts.get(name, _OTHER).format(name=name, **values))
        path.chmod(0o755)
    return place
