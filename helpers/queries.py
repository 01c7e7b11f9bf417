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

STATEMENTS_LIMITED = """
SELECT reset_val <> '0' FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'
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

# A restore's target: the server, as far as the role may see it.
RESTORE_SERVER = """
SELECT r.rolname::text, r.rolsuper, r.rolcreatedb OR r.rolsuper, pg_catalog.pg_is_in_recovery(),
       pg_catalog.current_setting('max_connections')::int
         - CASE WHEN r.rolsuper THEN 0
           ELSE pg_catalog.current_setting('superuser_reserved_connections')::int
             + coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) END
         - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
            WHERE backend_type = 'client backend')::int,
       CASE WHEN r.rolconnlimit >= 0 THEN r.rolconnlimit
         - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
            WHERE usesysid = r.oid AND backend_type = 'client backend')::int END,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')),
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')),
       pg_catalog.current_setting('max_parallel_maintenance_workers')::int,
       pg_catalog.current_setting('max_parallel_workers')::int,
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'),
       pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::int8,
       pg_catalog.current_setting('server_version_num')::int / 10000
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""

ALL_ROLES = """
SELECT rolname::text, pg_catalog.pg_has_role(oid, 'MEMBER') FROM pg_catalog.pg_roles
"""

AVAILABLE_EXTENSIONS = """
SELECT a.name::text, a.default_version, v.superuser AND NOT v.trusted
FROM pg_catalog.pg_available_extensions a
JOIN pg_catalog.pg_available_extension_versions v
  ON v.name = a.name AND v.version = a.default_version
"""

DATABASE = """
SELECT pg_catalog.pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = %s
"""

UNFINISHED_DATABASES = """
SELECT datname::text FROM pg_catalog.pg_database
WHERE (pg_catalog.shobj_description(oid, 'pg_database') = %s OR NOT datallowconn)
  AND pg_catalog.pg_has_role(datdba, 'USAGE')
"""

CONNECTED = """
SELECT concat_ws(' ', 'process', pid, 'of', coalesce(usename::text, backend_type),
                 nullif(application_name, ''), 'from ' || client_addr::text)
FROM pg_catalog.pg_stat_activity
WHERE datname = %s AND backend_type IN ('client backend', 'walsender') ORDER BY pid LIMIT 5
"""

PREPARED = """
SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = %s
"""

END_SESSIONS = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE datname = %s AND pid <> pg_catalog.pg_backend_pid()
"""

# What of a database a person put there: nothing means that it is empty. What belongs to an
# extension does not count: an administrator may have installed it for the restore.
CONTENTS = """
SELECT found.what FROM (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass AS class, c.oid, c.relnamespace AS schema,
           n.nspname || '.' || c.relname AS what
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind NOT IN ('i', 'I', 't')
  UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.pronamespace,
           n.nspname || '.' || p.proname || '()'
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typnamespace,
           n.nspname || '.' || t.typname
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typrelid = 0 AND t.typcategory <> 'A'
  UNION ALL
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid, oid, 'schema ' || nspname
    FROM pg_catalog.pg_namespace WHERE nspname <> 'public'
  UNION ALL
    SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass, oid, NULL, 'large object ' || oid
    FROM pg_catalog.pg_largeobject_metadata
  UNION ALL
    SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, c.oid, c.collnamespace,
           'collation ' || c.collname
    FROM pg_catalog.pg_collation c
  UNION ALL
    SELECT 'pg_catalog.pg_ts_config'::pg_catalog.regclass, t.oid, t.cfgnamespace,
           'text search configuration ' || t.cfgname
    FROM pg_catalog.pg_ts_config t
  UNION ALL
    SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, oid, NULL, 'server ' || srvname
    FROM pg_catalog.pg_foreign_server
  UNION ALL
    SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, oid, NULL, 'publication ' || pubname
    FROM pg_catalog.pg_publication
  UNION ALL
    SELECT 'pg_catalog.pg_subscription'::pg_catalog.regclass, 0, NULL, 'subscription ' || s.subname
    FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
    WHERE d.datname = pg_catalog.current_database()
) found
LEFT JOIN pg_catalog.pg_namespace s ON s.oid = found.schema
WHERE (s.nspname IS NULL OR (s.nspname !~ '^pg_' AND s.nspname <> 'information_schema'))
  AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = found.class AND d.objid = found.oid
      AND d.deptype = 'e')
ORDER BY found.what LIMIT 5
"""

# As pg_dump writes it (dumpDatabaseConfig, makeAlterConfigCommand): the lists among the settings
# are kept by the server in quotes already.
DATABASE_DEFINITION = """
SELECT made.statement FROM pg_catalog.pg_database d
CROSS JOIN LATERAL (
    SELECT 1 AS step,
           pg_catalog.format('ALTER DATABASE %%I OWNER TO %%I', d.datname,
                             pg_catalog.pg_get_userbyid(d.datdba)) AS statement
  UNION ALL
    SELECT 2, pg_catalog.format('ALTER DATABASE %%I CONNECTION LIMIT %%s', d.datname,
                                d.datconnlimit)
    WHERE d.datconnlimit <> -1
  UNION ALL
    SELECT 3, pg_catalog.format('GRANT %%s ON DATABASE %%I TO %%s%%s', a.privilege_type, d.datname,
        CASE a.grantee WHEN 0 THEN 'PUBLIC'
                       ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
    WHERE a.grantee <> d.datdba
  UNION ALL
    SELECT 4, CASE s.setrole WHEN 0
        THEN pg_catalog.format('ALTER DATABASE %%I SET %%I TO %%s', d.datname, g.name, g.value)
        ELSE pg_catalog.format('ALTER ROLE %%I IN DATABASE %%I SET %%I TO %%s',
                 pg_catalog.pg_get_userbyid(s.setrole), d.datname, g.name, g.value) END
    FROM pg_catalog.pg_db_role_setting s
    CROSS JOIN LATERAL (
        SELECT c.name, CASE WHEN c.name IN ('local_preload_libraries', 'search_path',
                   'session_preload_libraries', 'temp_tablespaces', 'unix_socket_directories')
               AND c.value <> '' THEN c.value ELSE pg_catalog.quote_literal(c.value) END AS value
        FROM (SELECT pg_catalog.split_part(pair, '=', 1) AS name,
                     pg_catalog.substr(pair, pg_catalog.strpos(pair, '=') + 1) AS value
              FROM pg_catalog.unnest(s.setconfig) AS pair) c
    ) g
    WHERE s.setdatabase = d.oid
  UNION ALL
    SELECT 5, pg_catalog.format('COMMENT ON DATABASE %%I IS %%L', d.datname, c.said)
    FROM pg_catalog.shobj_description(d.oid, 'pg_database') AS c (said) WHERE c.said IS NOT NULL
) made
WHERE d.datname = %(database)s ORDER BY made.step, made.statement
"""
