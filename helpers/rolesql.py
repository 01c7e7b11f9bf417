"""The SQL that reads what a role may do in a database. `holder` is the role, or public before it
is there.
"""

ROLE = """
SELECT r.oid::int8, r.rolcanlogin, r.rolinherit, r.rolbypassrls,
       coalesce(r.rolvaliduntil <= pg_catalog.now(), false),
       r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication
FROM pg_catalog.pg_roles r WHERE r.rolname = %(role)s
"""

READS_PASSWORDS = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')"

PASSWORD = "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %(role)s"  # noqa: S105

CONNECTS = """
SELECT pg_catalog.has_database_privilege(%(holder)s, pg_catalog.current_database(), 'CONNECT')
"""

READS_ALL = "SELECT pg_catalog.pg_has_role(%(role)s, 'pg_read_all_data', 'USAGE')"

# What pg_dump reads: tables, and sequences, but of an extension only what it marks as its
# configuration (pg_dump.c: getTables, makeTableDataInfo, dumpSequenceData).
_WANTED = """
WITH wanted AS (
    SELECT c.oid, c.relname, c.relkind, c.relnamespace, c.relowner, c.relrowsecurity
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                         AND d.objid = c.oid AND d.deptype = 'e')
           OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig)))
), schemas AS (
    SELECT n.oid, n.nspname, n.nspowner
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                         AND d.objid = n.oid AND d.deptype = 'e')
           OR n.oid IN (SELECT relnamespace FROM wanted))
)
"""

UNREADABLE = (
    _WANTED
    + """
SELECT 'SCHEMA', pg_catalog.quote_ident(s.nspname) FROM schemas s
WHERE NOT pg_catalog.has_schema_privilege(%(holder)s, s.oid, 'USAGE')
UNION ALL
SELECT CASE w.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
       pg_catalog.format('%%I.%%I', s.nspname, w.relname)
FROM wanted w JOIN schemas s ON s.oid = w.relnamespace
WHERE NOT CASE w.relkind
          WHEN 'S' THEN pg_catalog.has_sequence_privilege(%(holder)s, w.oid, 'SELECT')
          ELSE pg_catalog.has_table_privilege(%(holder)s, w.oid, 'SELECT') END
ORDER BY 1, 2
"""
)

LARGE_OBJECTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)"

UNREADABLE_LARGE_OBJECTS_18 = """
SELECT 'LARGE OBJECT', m.oid::text FROM pg_catalog.pg_largeobject_metadata m
WHERE NOT pg_catalog.has_largeobject_privilege(%(holder)s, m.oid, 'SELECT') ORDER BY m.oid
"""

UNREADABLE_LARGE_OBJECTS = """
SELECT 'LARGE OBJECT', m.oid::text FROM pg_catalog.pg_largeobject_metadata m
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.aclexplode(m.lomacl) a
    WHERE a.grantee::int8 IN (0, %(oid)s) AND a.privilege_type = 'SELECT')
ORDER BY m.oid
"""

# Who makes things here: whoever has made something, and who owns the database.
UNCOVERED = (
    _WANTED  # noqa: S608 - constants alone
    + """
, makers AS (
    SELECT datdba AS oid FROM pg_catalog.pg_database
    WHERE datname = pg_catalog.current_database()
    UNION SELECT nspowner FROM schemas
    UNION SELECT relowner FROM wanted
    UNION SELECT lomowner FROM pg_catalog.pg_largeobject_metadata
    UNION SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY (%(makers)s)
)
SELECT pg_catalog.quote_ident(r.rolname), kind, pg_catalog.pg_has_role(r.oid, 'USAGE')
FROM makers m JOIN pg_catalog.pg_roles r ON r.oid = m.oid
CROSS JOIN pg_catalog.unnest(%(kinds)s::text[]) AS kind
WHERE r.rolname !~ '^pg_' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a
    WHERE d.defaclrole = r.oid AND d.defaclnamespace = 0 AND d.defaclobjtype::text = kind
      AND a.grantee::int8 IN (0, %(oid)s)
      AND a.privilege_type = CASE kind WHEN 'n' THEN 'USAGE' ELSE 'SELECT' END)
ORDER BY 1, 2
"""
)

UNKNOWN_ROLES = """
SELECT name FROM pg_catalog.unnest(%(makers)s::text[]) AS name
WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles) ORDER BY name
"""

ROW_SECURITY = (
    _WANTED
    + """
SELECT pg_catalog.format('%%I.%%I', s.nspname, w.relname)
FROM wanted w JOIN schemas s ON s.oid = w.relnamespace
WHERE w.relrowsecurity ORDER BY 1
"""
)

# What a role that only reads has no need of, in this database and server-wide.
EXCESS = """
SELECT 'is a member of ' || pg_catalog.quote_ident(g.rolname)
FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
WHERE m.member::int8 = %(oid)s AND (g.rolname <> 'pg_read_all_data' OR NOT %(read_all)s)
UNION ALL
SELECT pg_catalog.format('owns %%s objects on the server', pg_catalog.count(*))
FROM pg_catalog.pg_shdepend d
WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid::int8 = %(oid)s
  AND d.deptype = 'o' HAVING pg_catalog.count(*) > 0
UNION ALL
SELECT DISTINCT pg_catalog.format('has %%s on %%s', a.privilege_type, o.name)
FROM (
    SELECT 'database ' || pg_catalog.quote_ident(d.datname), d.datacl, ARRAY['CONNECT']
    FROM pg_catalog.pg_database d
    UNION ALL
    SELECT 'schema ' || pg_catalog.quote_ident(n.nspname), n.nspacl, ARRAY['USAGE']
    FROM pg_catalog.pg_namespace n
    UNION ALL
    SELECT c.oid::pg_catalog.regclass::text, c.relacl, ARRAY['SELECT'] FROM pg_catalog.pg_class c
    UNION ALL
    SELECT t.attrelid::pg_catalog.regclass::text, t.attacl, ARRAY['SELECT']
    FROM pg_catalog.pg_attribute t WHERE t.attacl IS NOT NULL
    UNION ALL
    SELECT 'large object ' || m.oid, m.lomacl, ARRAY['SELECT']
    FROM pg_catalog.pg_largeobject_metadata m
    UNION ALL
    SELECT 'what ' || pg_catalog.pg_get_userbyid(f.defaclrole) || ' will make', f.defaclacl,
           ARRAY[CASE f.defaclobjtype WHEN 'n' THEN 'USAGE' ELSE 'SELECT' END]
    FROM pg_catalog.pg_default_acl f
) AS o (name, acl, enough), pg_catalog.aclexplode(o.acl) a
WHERE a.grantee::int8 = %(oid)s AND (a.is_grantable OR a.privilege_type <> ALL (o.enough))
ORDER BY 1
"""

# What everybody may do, and this role with them.
PUBLIC = (
    _WANTED
    + """
SELECT 'create objects in schema ' || pg_catalog.quote_ident(s.nspname) FROM schemas s
WHERE pg_catalog.has_schema_privilege('public', s.oid, 'CREATE')
UNION ALL
SELECT pg_catalog.format('write to %%I.%%I', s.nspname, w.relname)
FROM wanted w JOIN schemas s ON s.oid = w.relnamespace
WHERE CASE w.relkind
      WHEN 'S' THEN pg_catalog.has_sequence_privilege('public', w.oid, 'USAGE, UPDATE')
      ELSE pg_catalog.has_table_privilege('public', w.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
      END
ORDER BY 1
"""
)
