"""Whether pg_dump and pg_restore were built with zstd: asked of the programs, without a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from . import packing, processes, toc
from .clients import Client
from .errors import ConfigError
from .streams import TERMINATOR
from .toc import Entry, Header, Toc

_SINCE = 16
"""The first major whose tools know zstd at all."""

ZSTD = 3
"""zstd in an archive's header, from 1.15 on (compression.h: pg_compress_algorithm)."""

_PROBE = Toc(
    Header((1, 15, 0), 4, 8, toc.TAR, ZSTD, (0, 0, 0, 1, 0, 126, 0), "probe", "16.0", "16.0"),
    (
        Entry(
            dump_id=1,
            had_dumper=1,
            catalog_oid="0",
            oid="1",
            tag="probe",
            desc="TABLE DATA",
            section=toc.DATA,
            definition=None,
            drop_statement=None,
            copy_statement="COPY public.probe (id) FROM stdin;\n",
            namespace="public",
            tablespace=None,
            table_am=None,
            relkind=0,
            owner="probe",
            with_oids="false",
            dependencies=(),
            filename="1.dat",
        ),
    ),
)


def check_zstd(client: Client) -> None:
    """Raise ConfigError unless these clients both write and read archives that zstd compressed."""
    lacking = [
        name
        for name, can in (("pg_dump", writes_zstd), ("pg_restore", reads_zstd))
        if not can(client)
    ]
    if lacking:
        raise ConfigError(
            f"BACKUP_COMPRESSION=zstd: {' and '.join(lacking)} {client.version} in "
            f"{client.bin_dir} cannot do it.",
            f"Install clients of version {max(_SINCE, client.major)} or newer that were built with "
            "zstd, as Debian 13's are, name their directory in BACKUP_PG_BIN, or set "
            "BACKUP_COMPRESSION=auto.",
        )


def writes_zstd(client: Client) -> bool:
    """Whether its pg_dump can.

    A custom archive with two jobs is refused, but only once the compression has been found to be
    there, and before any connection is made (pg_dump.c: main). Before 15 it took any word for a
    level of 0.
    """
    if client.major < _SINCE:
        return False
    words = ["--format=custom", "--jobs=2", "--compress=zstd", "--dbname="]
    done = processes.run([client.tool("pg_dump"), *words])
    return "parallel backup" in done.errors


def reads_zstd(client: Client) -> bool:
    """Whether its pg_restore can: it is given an archive of one empty table."""
    with tempfile.TemporaryDirectory(prefix="pgbackup-") as place:
        (Path(place) / "toc.dat").write_bytes(toc.build(_PROBE))
        (Path(place) / f"1.dat{packing.ZST}").write_bytes(packing.zstd_packer()(TERMINATOR))
        done = processes.run([client.tool("pg_restore"), "--file=/dev/null", place])
    return not done.returncode


def reader(preferred: Client, others: Iterable[Client], *, zstd: bool) -> Client | None:
    """The first of these whose pg_restore reads an archive, compressed by `zstd` or not."""
    return next((c for c in (preferred, *others) if not zstd or reads_zstd(c)), None)
