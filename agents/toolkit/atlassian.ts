// What Atlassian's applications have in common: `<application>.cfg.xml` with its properties, passwords that may be
// encrypted, and data sources of Tomcat.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import type { HostView } from './host-view.ts';
import { databaseFromJdbc, type JdbcDatabase } from './jdbc.ts';
import { notLiteral } from './sources.ts';
import { allElements, parseXml, type XmlElement } from './xml.ts';

export interface AtlassianConfiguration {
  file: string;
  /** `complete` once the application is set up. */
  setupStep: string | undefined;
  /** Which build the data belongs to. */
  buildNumber: string | undefined;
  properties: ReadonlyMap<string, string>;
}

/** @throws application-configuration where the file can't be read, or is none of theirs */
export function readAtlassianConfiguration(view: HostView, file: string): AtlassianConfiguration {
  const root = parseXml(view.readText(file), file);
  const child = (name: string): XmlElement | undefined => root.children.find((one) => one.name === name);
  const properties = child('properties');
  if (properties === undefined) {
    throw cannot('application-configuration', 'read configuration', file, 'it has no <properties>');
  }
  return {
    file,
    setupStep: child('setupStep')?.text.trim() || undefined,
    buildNumber: /^\s*(\d{1,10})\s*$/.exec(child('buildNumber')?.text ?? '')?.[1],
    properties: new Map(properties.children.map(({ attributes, text }) => [attributes.name ?? '', text])),
  };
}

/** The ciphers that only encode, before and after they were renamed. */
const BASE64 = /\.base64\.Base64(Cipher|SecretStore)$/;
/** What stands in place of a password that is kept elsewhere. */
export const SECURED = '{ATL_SECURED}';

/**
 * @param cipher the class that the application decrypts it with, where there is one
 * @returns the password in the clear; undefined where only the application can decrypt it
 */
function decryptPassword(password: string, cipher: string | undefined): string | undefined {
  if (password === SECURED) return undefined;
  if (cipher === undefined) return password;
  if (!BASE64.test(cipher)) return undefined;
  return /^[A-Za-z0-9+/]+={0,2}$/.test(password) ? Buffer.from(password, 'base64').toString() : undefined;
}

/** Credentials as they are written down: the password may be encoded, encrypted or kept elsewhere. */
export interface WrittenCredentials {
  file: string;
  url: string;
  user: string | undefined;
  password: string;
  /** The class that the application decrypts it with. */
  cipher: string | undefined;
}

/** @returns the password in the clear; undefined where only the application can decrypt it */
export const plainPassword = ({ password, cipher }: WrittenCredentials): string | undefined =>
  decryptPassword(password, cipher);

/** @returns what the configuration says, which may be nothing: then the URL is empty */
export function credentialsOf({ file, properties }: AtlassianConfiguration): WrittenCredentials {
  const [, cipher] = [...properties].find(([name]) => /decrypter|cipher/i.test(name)) ?? [];
  return {
    file,
    url: properties.get('hibernate.connection.url')?.trim() ?? '',
    user: properties.get('hibernate.connection.username') || undefined,
    password: properties.get('hibernate.connection.password') ?? '',
    cipher: cipher?.trim() || undefined,
  };
}

/**
 * @param tomcatFiles those of Tomcat that may have the credentials of data sources
 * @returns the database that the configuration names
 * @throws application-configuration where it isn't set up, or with the hint to set GARNER_DATABASE_URL
 */
export function databaseOfConfiguration(
  configuration: AtlassianConfiguration,
  view: HostView,
  tomcatFiles: readonly string[],
): JdbcDatabase {
  const { file, setupStep, properties } = configuration;
  if (setupStep !== undefined && setupStep !== 'complete') {
    throw cannot(
      'application-configuration',
      'back up',
      file,
      `the application is not set up: its setup stands at "${setupStep}"`,
      { hint: 'finish its setup in the browser first' },
    );
  }
  const dataSource = properties.get('hibernate.connection.datasource')?.trim();
  if (dataSource) return dataSourceOf(dataSource, view, tomcatFiles);
  const credentials = credentialsOf(configuration);
  if (credentials.url === '') throw notLiteral(file, 'the database', 'there is no hibernate.connection.url');
  return databaseOfCredentials(credentials);
}

/**
 * @returns the database; one of MySQL goes by the client's own option file where its password is encrypted
 * @throws application-configuration with the hint to set GARNER_DATABASE_URL
 */
export function databaseOfCredentials(credentials: WrittenCredentials): JdbcDatabase {
  const { file, url, user } = credentials;
  const password = plainPassword(credentials);
  if (password !== undefined) return databaseFromJdbc({ url, user, password: password || undefined, file });
  const database = databaseFromJdbc({ url, user, password: undefined, file });
  const optionFile = join(homedir(), '.my.cnf');
  if (database.source.engine !== 'mysql' || !existsSync(optionFile)) {
    throw notLiteral(file, 'the password', 'it is encrypted');
  }
  info(`the password in ${file} is encrypted: the credentials of ${optionFile} are used`);
  const connection = { ...(database.source.connection as object), user: undefined, password: undefined };
  return { ...database, source: { ...database.source, connection } };
}

/**
 * @param name `java:comp/env/jdbc/confluence`: a <Resource name="jdbc/confluence" …> of Tomcat
 * @throws application-configuration where none of the files has it, or not literally
 */
export function dataSourceOf(name: string, view: HostView, tomcatFiles: readonly string[]): JdbcDatabase {
  const wanted = name.replace(/^java:comp\/env\//, '');
  const present = tomcatFiles.filter((file) => view.exists(file));
  const [first = ''] = tomcatFiles;
  if (present.length === 0) throw notLiteral(first, `the data source ${wanted}`, 'there is no such file');
  for (const file of present) {
    const resources = allElements(parseXml(view.readText(file), file));
    const { attributes } =
      resources.find((one) => one.name === 'Resource' && one.attributes.name === wanted) ?? {};
    if (attributes?.url === undefined) continue;
    const { url, username: user, password } = attributes;
    if ([url, user, password].some((value) => value?.includes('${'))) {
      throw notLiteral(file, `the data source ${wanted}`, 'it has placeholders');
    }
    return databaseFromJdbc({ url, user, password, file });
  }
  throw notLiteral(present[0] ?? first, `the data source ${wanted}`);
}
