"""Every key that an env file may hold: what it means, its default, and where its value goes."""

from __future__ import annotations

from typing import Final, NamedTuple


class Key(NamedTuple):
    """What people read of a key, and the libpq `keyword` or settings `field` that it sets."""

    description: str
    default: str = ""
    keyword: str = ""
    field: str = ""


def _libpq(keyword: str, description: str) -> Key:
    return Key(description, keyword=keyword)


KEYS: Final[dict[str, Key]] = {
    "DATABASE_URL": Key("postgresql://user:password@host:port/database, or host=... dbname=..."),
    "POSTGRES_HOST": _libpq("host", "The server's name, address or socket directory"),
    "POSTGRES_PORT": _libpq("port", "The server's port"),
    "POSTGRES_DB": _libpq("dbname", "The database to back up"),
    "POSTGRES_USER": _libpq("user", "The role to connect as"),
    "POSTGRES_PASSWORD": _libpq("password", "That role's password"),
    "PGHOST": _libpq("host", "The server's name, address or socket directory"),
    "PGHOSTADDR": _libpq("hostaddr", "The server's address, when its name shall not be looked up"),
    "PGPORT": _libpq("port", "The server's port"),
    "PGDATABASE": _libpq("dbname", "The database to back up"),
    "PGUSER": _libpq("user", "The role to connect as"),
    "PGPASSWORD": _libpq("password", "That role's password"),
    "PGPASSFILE": _libpq("passfile", "A password file, instead of ~/.pgpass"),
    "PGSERVICE": _libpq("service", "A section of the connection service file"),
    "PGSERVICEFILE": Key("The connection service file, instead of ~/.pg_service.conf"),
    "PGOPTIONS": _libpq("options", "Options for the server process"),
    "PGAPPNAME": _libpq("application_name", "The name to show in pg_stat_activity"),
    "PGCONNECT_TIMEOUT": _libpq("connect_timeout", "Seconds to wait for a connection"),
    "PGTARGETSESSIONATTRS": _libpq("target_session_attrs", "Which of several servers: any, ..."),
    "PGLOADBALANCEHOSTS": _libpq("load_balance_hosts", "Order to try hosts in: disable, random"),
    "PGSSLMODE": _libpq("sslmode", "TLS: disable, allow, prefer, require, verify-ca, verify-full"),
    "PGSSLNEGOTIATION": _libpq("sslnegotiation", "How TLS begins: postgres, direct"),
    "PGSSLROOTCERT": _libpq("sslrootcert", "Certificates of authorities to trust, or system"),
    "PGSSLCERT": _libpq("sslcert", "The client's certificate"),
    "PGSSLKEY": _libpq("sslkey", "The client's key, without a passphrase"),
    "PGSSLCERTMODE": _libpq("sslcertmode", "Send a certificate: disable, allow, require"),
    "PGSSLCRL": _libpq("sslcrl", "A file of revoked certificates"),
    "PGSSLCRLDIR": _libpq("sslcrldir", "A directory of revoked certificates"),
    "PGSSLSNI": _libpq("sslsni", "Name the server in the TLS handshake: 1 or 0"),
    "PGSSLCOMPRESSION": _libpq("sslcompression", "TLS compression: 0 or 1"),
    "PGSSLMINPROTOCOLVERSION": _libpq("ssl_min_protocol_version", "Oldest TLS version to accept"),
    "PGSSLMAXPROTOCOLVERSION": _libpq("ssl_max_protocol_version", "Newest TLS version to accept"),
    "PGCHANNELBINDING": _libpq("channel_binding", "Channel binding: disable, prefer, require"),
    "PGREQUIREAUTH": _libpq("require_auth", "Ways of authentication to accept"),
    "PGREQUIREPEER": _libpq("requirepeer", "The system user that a socket's server must run as"),
    "PGGSSENCMODE": _libpq("gssencmode", "GSSAPI encryption: disable, prefer, require"),
    "PGKRBSRVNAME": _libpq("krbsrvname", "The server's Kerberos service name"),
    "PGGSSLIB": _libpq("gsslib", "The GSSAPI library"),
    "PGGSSDELEGATION": _libpq("gssdelegation", "Delegate GSSAPI credentials: 0 or 1"),
    "BACKUP_ENV": Key("The environment that this file describes", "from the file's name"),
    "BACKUP_DIR": Key("Where backups are kept", "backups/<environment>", field="store"),
    "BACKUP_REQUIRED_TABLES": Key(
        "Tables without which no backup is made: table or schema.table, comma separated",
        field="required_tables",
    ),
    "BACKUP_JOBS": Key("Tables to copy at once", "cores, at most 4", field="jobs"),
    "BACKUP_LOCK_TIMEOUT": Key(
        "Seconds to wait for a table that another session has locked", "60", field="lock_timeout"
    ),
    "BACKUP_PG_BIN": Key(
        "The directory of pg_dump and pg_restore", "found by the server's version", field="pg_bin"
    ),
    "BACKUP_FORMAT": Key(
        "Table data in PostgreSQL's binary format, several times as fast to take and to restore, "
        "or as the text that pg_dump writes: binary (from PostgreSQL 14 on), text",
        "binary",
        field="format",
    ),
    "BACKUP_BINARY_FROM": Key(
        "Bytes on the server from which a table is copied in binary; smaller ones are text",
        "1048576",
        field="binary_from",
    ),
    "BACKUP_COMPRESSION": Key(
        "auto compresses tables that shrink, by gzip, and leaves embeddings as they are; gzip and "
        "zstd compress every table, zstd for a pg_restore of 16 or newer that has it; none",
        "auto",
        field="compression",
    ),
    "BACKUP_MAX_SHRINK": Key(
        "Percent of its rows, or of the data in them, that a table may lose between two backups "
        "before the new one is marked suspect, 1 to 100",
        "50",
        field="max_shrink",
    ),
    "BACKUP_LOG": Key(
        "A file that gets one line of JSON for every run",
        ".runs-<environment>.jsonl in BACKUP_DIR",
        field="tell.log",
    ),
    "BACKUP_METRICS_DIR": Key(
        "The directory of node_exporter's textfile collector, for metrics", field="tell.metrics"
    ),
    "BACKUP_DRILL_URL": Key(
        "A server to drill on instead of one of the drill's own: postgresql://user:password@host/"
        "database, with a role that may create databases",
        field="drill_url",
    ),
    "BACKUP_DRILL_DIR": Key(
        "Where a drill's own server lives while it runs; it needs room for the whole database",
        "the system's place for temporary files",
        field="drill_dir",
    ),
    "BACKUP_MAX_AGE": Key(
        "How old the newest good backup may be before status says that you are not protected: "
        "hours, or 90m, 26h, 2d",
        "26",
        field="max_age",
    ),
    "KEEP_LAST": Key("Newest backups to keep", "0", field="keep.last"),
    "KEEP_DAILY": Key("Days (UTC) to keep a backup of", "7", field="keep.daily"),
    "KEEP_WEEKLY": Key("ISO weeks to keep a backup of", "4", field="keep.weekly"),
    "KEEP_MONTHLY": Key("Months to keep a backup of", "12", field="keep.monthly"),
    "KEEP_YEARLY": Key("Years to keep a backup of", "0", field="keep.yearly"),
    "NOTIFY_URLS": Key(
        "Who is told how runs went: URLs of Apprise, comma or space separated; they are secrets",
        field="tell.urls",
    ),
    "NOTIFY_ON": Key(
        "What they are told: failure, recovery (the first success after a failure), success",
        "failure,recovery",
        field="tell.events",
    ),
    "NOTIFY_TIMEOUT": Key(
        "Seconds that telling everybody may take after a run, 1 to 120", "10", field="tell.timeout"
    ),
    "PING_URL": Key(
        "A dead man's switch such as Healthchecks: pinged at a backup's start, success and failure",
        field="tell.ping",
    ),
}
"""PG* names and keywords are libpq's: PostgreSQL documentation, "Environment Variables"."""

OWN_PREFIXES: Final = ("BACKUP_", "KEEP_")
"""Keys that begin so are ours alone: one that is not in the table is a mistake."""

APPLICATION_PARAMETERS: Final = frozenset(
    {
        "client_encoding",
        "command_timeout",
        "conn_max_age",
        "connection_limit",
        "max_overflow",
        "pgbouncer",
        "pool",
        "pool_mode",
        "pool_size",
        "pool_timeout",
        "prepared_statement_cache_size",
        "prepared_statements",
        "schema",
        "server_settings",
        "socket_timeout",
        "statement_cache_size",
        "timeout",
        "uselibpqcompat",
    }
)
"""What Prisma, asyncpg, Rails and others read from a URL's parameters; nothing to a dump."""
