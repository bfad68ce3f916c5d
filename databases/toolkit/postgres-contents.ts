// What a PostgreSQL database holds, as questions in SQL: its tables, the roles that it names, and whether it is empty.
// Objects of extensions don't count: the extension makes them anew.

/** Schemas that are not the server's own. */
const USER_SCHEMA = "nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'";

const notOfExtension = (catalog: string, alias: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend WHERE classid = '${catalog}'::regclass AND objid = ${alias}.oid AND deptype = 'e')`;

export interface Table {
  schema: string;
  name: string;
  readable: boolean;
  /** The bytes of `schema.name` in the database's encoding, in hexadecimal. */
  bytes: string;
}

/** @returns the table as the manifest and messages call it */
export const shownName = ({ schema, name }: Table): string =>
  schema === 'public' ? name : `${schema}.${name}`;

/** Tables that have rows of their own: partitions, not what they are partitions of; none that an extension makes anew. */
export const TABLES = `SELECT coalesce(jsonb_agg(jsonb_build_object('schema', nspname, 'name', relname, 'readable',
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), 'bytes',
    encode(convert_to(nspname || '.' || relname, getdatabaseencoding()), 'hex')) ORDER BY nspname, relname), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind = 'r' AND relpersistence <> 't' AND ${USER_SCHEMA} AND ${notOfExtension('pg_class', 'c')}`;

/** The names of sequences that the account may not read: a dump has their values. */
export const HIDDEN_SEQUENCES = `SELECT coalesce(jsonb_agg(CASE nspname WHEN 'public' THEN relname ELSE nspname || '.' || relname END
    ORDER BY nspname, relname), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind = 'S' AND relpersistence <> 't' AND ${USER_SCHEMA} AND ${notOfExtension('pg_class', 'c')}
    AND NOT (has_schema_privilege(n.oid, 'USAGE')
      AND CASE WHEN relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT') END)`;

/**
 * User mappings of foreign servers whose options (passwords, as a rule) the account may not see, or that have none: the server
 * does not say which.
 */
export const HIDDEN_MAPPINGS = `SELECT coalesce(jsonb_agg(usename || ' on ' || srvname ORDER BY srvname, usename), '[]')
  FROM pg_user_mappings
  WHERE umoptions IS NULL AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)`;

/**
 * Roles that own something here or have rights to it, and those that have rights as their members. The server records no
 * dependency on the role that made it (oid 10).
 */
export const NAMED_ROLES = `WITH RECURSIVE here(oid) AS (
    SELECT refobjid FROM pg_shdepend JOIN pg_database d ON datname = current_database()
    WHERE refclassid = 'pg_authid'::regclass
      AND (dbid = d.oid OR classid = 'pg_database'::regclass AND objid = d.oid)
    UNION SELECT member FROM pg_auth_members JOIN here ON roleid = here.oid)
  SELECT coalesce(jsonb_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
  WHERE (oid = 10 OR oid IN (SELECT oid FROM here)) AND rolname NOT LIKE 'pg\\_%'`;

/** What a restore would meet: tables, and all else that a database may hold but extensions, which may be there. */
export const OCCUPIED = `SELECT jsonb_build_object(
  'tables', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't' AND ${USER_SCHEMA} AND ${notOfExtension('pg_class', 'c')}),
  'others', (SELECT count(*) FROM pg_namespace n WHERE ${USER_SCHEMA} AND nspname <> 'public' AND ${notOfExtension('pg_namespace', 'n')})
    + (SELECT count(DISTINCT (classid, objid)) FROM pg_depend d JOIN pg_namespace n ON n.oid = refobjid
      WHERE refclassid = 'pg_namespace'::regclass AND d.deptype = 'n' AND ${USER_SCHEMA} AND classid <> 'pg_extension'::regclass
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e'))
    + (SELECT count(*) FROM pg_largeobject_metadata)
    + (SELECT count(*) FROM pg_default_acl WHERE defaclnamespace = 0)
    + (SELECT count(*) FROM pg_publication)
    + (SELECT count(subname) FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database())
    + (SELECT count(*) FROM pg_event_trigger t WHERE ${notOfExtension('pg_event_trigger', 't')})
    + (SELECT count(*) FROM pg_foreign_data_wrapper w WHERE ${notOfExtension('pg_foreign_data_wrapper', 'w')})
    + (SELECT count(*) FROM pg_foreign_server s WHERE ${notOfExtension('pg_foreign_server', 's')})
    + (SELECT count(*) FROM pg_language l WHERE oid >= 16384 AND ${notOfExtension('pg_language', 'l')})
    + (SELECT count(*) FROM pg_cast c WHERE oid >= 16384 AND ${notOfExtension('pg_cast', 'c')}))`;

/** Drops all that is in a database in one transaction, and makes the schema public as the server makes it. */
export const EMPTY = `DO $$ DECLARE x text; BEGIN
  FOREACH x IN ARRAY ARRAY(SELECT format('DROP EVENT TRIGGER %I', evtname) FROM pg_event_trigger t WHERE ${notOfExtension('pg_event_trigger', 't')}
    UNION ALL SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication
    UNION ALL SELECT c FROM pg_subscription JOIN pg_database d ON d.oid = subdbid, unnest(ARRAY[
        'ALTER SUBSCRIPTION %I DISABLE', 'ALTER SUBSCRIPTION %I SET (slot_name = NONE)', 'DROP SUBSCRIPTION %I'])
      AS command, format(command, subname) AS c WHERE datname = current_database()
    UNION ALL SELECT format('DROP CAST (%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL))
      FROM pg_cast c WHERE oid >= 16384 AND castsource < 16384 AND casttarget < 16384 AND ${notOfExtension('pg_cast', 'c')}
    UNION ALL SELECT format('DROP FOREIGN DATA WRAPPER %I CASCADE', fdwname)
      FROM pg_foreign_data_wrapper w WHERE ${notOfExtension('pg_foreign_data_wrapper', 'w')}
    UNION ALL SELECT format('DROP SERVER IF EXISTS %I CASCADE', srvname)
      FROM pg_foreign_server s WHERE ${notOfExtension('pg_foreign_server', 's')}
    UNION ALL SELECT format('DROP EXTENSION IF EXISTS %I CASCADE', extname) FROM pg_extension WHERE extname <> 'plpgsql'
    UNION ALL SELECT format('DROP LANGUAGE IF EXISTS %I CASCADE', lanname)
      FROM pg_language l WHERE oid >= 16384 AND ${notOfExtension('pg_language', 'l')}
    UNION ALL SELECT format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) FROM pg_namespace WHERE ${USER_SCHEMA}
    UNION ALL SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s ALL ON %s %s %s', rolname, verb, kind, word, CASE grantee
        WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
      FROM pg_default_acl JOIN pg_roles r ON r.oid = defaclrole JOIN (VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'),
        ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS'), ('L', 'LARGE OBJECTS')) AS kinds(letter, kind) ON letter = defaclobjtype::text,
        LATERAL (SELECT 'REVOKE', 'FROM', a.grantee FROM aclexplode(defaclacl) a
          UNION SELECT 'GRANT', 'TO', a.grantee
          FROM aclexplode(acldefault(CASE defaclobjtype WHEN 'S' THEN 's' ELSE defaclobjtype END, defaclrole)) a
          ORDER BY 1 DESC) AS changes(verb, word, grantee)
      WHERE defaclnamespace = 0)
  LOOP EXECUTE x; END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
  CREATE SCHEMA public;
  COMMENT ON SCHEMA public IS 'standard public schema';
  IF current_setting('server_version_num')::int < 150000 THEN GRANT ALL ON SCHEMA public TO PUBLIC;
  ELSE ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC; END IF;
END $$; SELECT to_jsonb(true)`;
