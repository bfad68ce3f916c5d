// A private OpenLDAP for tests, in a directory of its own: its configuration and one database; it runs where asked.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from './mariadb.ts';

export const SUFFIX = 'dc=example,dc=org';

export interface Slapd {
  readonly config: string;
  readonly data: string;
  /** @returns all of the database, by slapcat; nothing where there is none */
  dump(): Promise<string>;
  add(ldif: string): Promise<void>;
  /** Removes the database's files. */
  wipe(): void;
  /** Runs the server. @returns what stops it, and how it is called */
  run(): Promise<{ url: string; stop(): Promise<void> }>;
}

const configLdif = (data: string, more: string): string => `dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif
include: file:///etc/ldap/schema/cosine.ldif
include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={-1}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {-1}frontend

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcRootPW: {SSHA}canary-ldap

${more}dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: ${SUFFIX}
olcDbDirectory: ${data}
olcDbMaxSize: 10485760
olcRootDN: cn=admin,${SUFFIX}
olcRootPW: canary-ldap
`;

/** A database whose entries the one above it shows as its own. */
const gluedLdif = (suffix: string, data: string): string => `dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: ${suffix}
olcSubordinate: TRUE
olcDbDirectory: ${data}
olcDbMaxSize: 10485760

`;

export const ENTRIES = `dn: ${SUFFIX}
objectClass: dcObject
objectClass: organization
o: Beispiel
dc: example

dn: ou=people,${SUFFIX}
objectClass: organizationalUnit
ou: people

dn: cn=Räk Smörgås,ou=people,${SUFFIX}
objectClass: inetOrgPerson
cn: Räk Smörgås
sn: S
description: ${'long '.repeat(60)}end
jpegPhoto:: /9gAAQID
userPassword: {SSHA}canary-entry
`;

/**
 * @param directory gets its files
 * @param glued the suffix of a second database, below the first
 */
export async function makeSlapd(directory: string, glued?: string): Promise<Slapd> {
  const [config, data] = [join(directory, 'slapd.d'), join(directory, 'ldap-data')];
  const below = join(directory, 'ldap-data-below');
  const more = glued === undefined ? '' : gluedLdif(glued, below);
  for (const path of [config, data, below]) mkdirSync(path, { recursive: true });
  await execa('slapadd', ['-n', '0', '-F', config], { input: configLdif(data, more), env: { LC_ALL: 'C' } });
  const add = async (input: string): Promise<void> =>
    void (await execa('slapadd', ['-F', config, '-b', SUFFIX], { input }));
  return {
    config,
    data,
    add,
    async dump() {
      const { stdout, exitCode } = await execa('slapcat', ['-F', config, '-b', SUFFIX], { reject: false });
      return exitCode === 0 ? stdout : '';
    },
    wipe: () => {
      for (const path of [data, below])
        for (const name of ['data.mdb', 'lock.mdb']) rmSync(join(path, name), { force: true });
    },
    async run() {
      const url = `ldap://127.0.0.1:${await freePort()}`;
      // setpriv: the server ends with the test process, however that ends; -d 0: it stays in the foreground
      const args = ['--pdeathsig', 'KILL', '/usr/sbin/slapd', '-F', config, '-h', url, '-d', '0'];
      const server = execa('setpriv', args, { stdio: 'ignore', reject: false });
      for (let tries = 0; ; tries++) {
        const asked = await execa('ldapsearch', ['-x', '-H', url, '-s', 'base', '-b', ''], { reject: false });
        if (asked.exitCode === 0) break;
        if (tries === 200) throw new Error(asked.stderr);
        await sleep(50);
      }
      return {
        url,
        async stop() {
          server.kill('SIGTERM');
          await server;
        },
      };
    },
  };
}
