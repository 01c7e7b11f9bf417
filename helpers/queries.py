"""The SQL that reads a database's catalog. Every name is qualified: the search path is empty."""

FACTS = """
SELECT pg_catalog.current_setting('server_version_num')::int,
       pg_catalog.current_setting('server_version'),
       d.datname, current_user::text, pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate,
       pg_catalog.pg_database_size(d.oid), pg_catalog.pg_is_in_recovery()
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""

# What COPY's text depends on and pg_dump does not set itself (pg_dump.c: setup_connection).
TEXT_SETTINGS = """
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('TimeZone', 'bytea_output', 'lc_monetary') ORDER BY name
"""

SYSTEM_IDENTIFIER = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"

# What pg_dump takes the data of: ordinary tables, and the partitioned parents that it locks with
# them. A table that belongs to an extension is dumped only where the extension asks for it, and
# unlogged tables have no contents on a standby (pg_dump.c: getTables, makeTableDataInfo). Of one
# that is dropped while this runs the privileges are NULL: it is not there to be refused.
TABLES = """
SELECT c.oid::int8, n.nspname, c.relname, c.relkind = 'p',
       pg_catalog.has_table_privilege(c.oid, 'SELECT') IS NOT FALSE
         AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') IS NOT FALSE,
       pg_catalog.row_security_active(c.oid),
       e.extconfig IS NOT NULL,
       root.name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT x.extconfig FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
) member ON true
LEFT JOIN LATERAL (
    SELECT x.extconfig FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig) LIMIT 1
) e ON true
LEFT JOIN LATERAL (
    SELECT pn.nspname || '.' || p.relname AS name
    FROM pg_catalog.pg_class p JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    WHERE c.relispartition AND p.oid = pg_catalog.pg_partition_root(c.oid)
) root ON true
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())
  AND (member IS NULL OR e.extconfig IS NOT NULL)
ORDER BY n.nspname, c.relname
"""

COLUMNS = """
SELECT a.attrelid::int8, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attgenerated <> ''
FROM pg_catalog.pg_attribute a
WHERE a.attrelid::int8 = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

SIZES = """
SELECT oid::int8, pg_catalog.pg_table_size(oid::oid)
FROM pg_catalog.unnest(%s::int8[]) AS oid
"""

EXTENSIONS = """
SELECT x.extname, x.extversion, n.nspname
FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
ORDER BY x.extname
"""

# Owners, grantees and subjects of policies of this database's objects.
ROLES = """
SELECT DISTINCT r.rolname
FROM pg_catalog.pg_shdepend d
JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
JOIN pg_catalog.pg_database b ON b.oid = d.dbid
WHERE b.datname = pg_catalog.current_database()
  AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
ORDER BY r.rolname
"""

LARGE_OBJECTS = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata"

# Who stands in the way: sessions that hold or wait for a lock no reader can share.
BLOCKERS = """
SELECT DISTINCT n.nspname || '.' || c.relname, a.pid, a.usename::text,
       coalesce(a.application_name, '')
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.mode = 'AccessExclusiveLock' AND l.relation::int8 = ANY (%s)
  AND l.database = (SELECT oid FROM pg_catalog.pg_database
                    WHERE datname = pg_catalog.current_database())
ORDER BY 1, 2 LIMIT 5
"""
