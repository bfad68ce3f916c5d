// Makes what a Confluence consists of, of any size, without Confluence: an installation by which its version is told, a
// home in the shape of its version, a database with the tables, types, keys and odd names of its schema, and the files
// of attachments where that version keeps them. Everything in it is made up.
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { type Attachment, createConfluenceDatabase } from './confluence-database.ts';
import type { MariaDb } from './mariadb.ts';
import type { Postgres } from './postgres.ts';

export type ConfluenceVersion = '7.19.2' | '8.8.0' | '9.2.1';

const BUILD: Record<ConfluenceVersion, number> = { '7.19.2': 8804, '8.8.0': 9104, '9.2.1': 9111 };

export interface ConfluenceOptions {
  /** Gets `install` and `home`. */
  directory: string;
  version: ConfluenceVersion;
  server: MariaDb | Postgres;
  user: string;
  password: string;
  database?: string;
  spaces?: number;
  pages?: number;
  attachmentsPerPage?: number;
  attachmentBytes?: number;
  /** Replaces or adds properties of confluence.cfg.xml. */
  properties?: Record<string, string>;
}

export interface Confluence {
  install: string;
  home: string;
  database: string;
  /** The settings that lead the agent to it. */
  settings: Record<string, string>;
  /** The files of attachments, below the home. */
  attachments: string[];
  /** What of the home a restore has to bring back: absolute paths. */
  places: string[];
  /** The kept part of the home, in find's words after `find .`. */
  find: string[];
}

/** Below the home; made anew by Confluence, so not to be archived. */
const MADE_ANEW = [
  ...['index/edge/_0.cfs', 'journal/main_index', 'bundled-plugins/a-1.0.jar', 'plugins-cache/b.jar'],
  ...['plugins-osgi-cache/felix/bundle0/c', 'plugins-temp/d', 'temp/upload.tmp', 'thumbnails/1/2/3'],
  ...['viewfile/x.pdf', 'logs/atlassian-confluence.log', 'restore/site.zip', 'backups/daily.zip'],
  ...['analytics-logs/e.log.gz', 'shared-home/index-snapshots/f.zip', 'shared-home/thumbnails/g', 'lock'],
];

const xml = (text: string): string =>
  text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`).replaceAll('&#38;', '&amp;');

/** @returns confluence.cfg.xml as Confluence writes it; other applications have other roots */
export function configuration(
  properties: Record<string, string>,
  { setupStep = 'complete', build = 8804, root = 'confluence-configuration' } = {},
): string {
  const lines = Object.entries(properties).map(
    ([name, value]) => `    <property name="${name}">${xml(value)}</property>\n`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>

<${root}>
  <setupStep>${setupStep}</setupStep>
  <setupType>custom</setupType>
  <buildNumber>${build}</buildNumber>
  <properties>
${lines.join('')}  </properties>
</${root}>
`;
}

/** Digits as they are written, as Atlassian describes the layout. */
const byDigits = (id: number): string => {
  const digits = String(id).padStart(6, '0');
  return `${Number(digits.slice(-3)) % 250}/${Number(digits.slice(-6, -3)) % 250}/${id}`;
};

/** @returns where a version of an attachment lies below the attachments' directory */
export function attachmentPath(isV4: boolean, { id, version, page, space }: Attachment): string {
  const domain = id % 65535;
  return isV4
    ? `v4/${domain % 256}/${(domain - (domain % 256)) / 256}/${id}/${id}.${version}`
    : `ver003/${space === undefined ? 'nonspaced' : byDigits(space)}/${byDigits(page)}/${id}/${version}`;
}

function write(file: string, content: string | Uint8Array): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** @returns the JDBC URL as Confluence's setup writes it */
export function jdbcUrl(server: MariaDb | Postgres, database: string): string {
  return 'socket' in server
    ? `jdbc:mysql://localhost:${server.port}/${database}?useUnicode=true&useSSL=false&sessionVariables=tx_isolation='READ-COMMITTED'`
    : `jdbc:postgresql://localhost:${server.port}/${database}?reWriteBatchedInserts=true`;
}

export async function createConfluence(options: ConfluenceOptions): Promise<Confluence> {
  const { directory, version, server, user, password, database = 'confluence' } = options;
  const { spaces = 2, pages = 12, attachmentsPerPage = 2, attachmentBytes = 3000 } = options;
  const [install, home] = [join(directory, 'install'), join(directory, 'home')];
  const isPostgres = !('socket' in server);
  const isV4 = !version.startsWith('7.');

  const size = { spaces, pages, attachmentsPerPage };
  const versions = await createConfluenceDatabase(server, { database, user, password, ...size });

  const webInf = join(install, 'confluence/WEB-INF');
  write(
    join(install, 'confluence/META-INF/maven/com.atlassian.confluence/confluence-webapp/pom.properties'),
    `#Created by Apache Maven 3.6.3\nversion=${version}\ngroupId=com.atlassian.confluence\nartifactId=confluence-webapp\n`,
  );
  for (const jar of [
    `confluence-${version}`,
    'confluence-editor-6.13.4',
    'confluence-6-compat-1.0',
    'spring-core-5.3.9',
  ])
    write(join(webInf, 'lib', `${jar}.jar`), 'PK');
  write(
    join(webInf, 'classes/confluence-init.properties'),
    `# confluence.home=c:/confluence/data\nconfluence.home = ${home}\n`,
  );

  const shared = {
    'attachments.dir': `\${confluenceHome}/attachments`,
    'confluence.setup.server.id': 'BXYZ-1234-ABCD-5678',
    'confluence.webapp.context.path': '',
  };
  const pool: Record<string, string> = isV4
    ? { 'hibernate.hikari.maximumPoolSize': '60' }
    : { 'hibernate.c3p0.max_size': '60' };
  const properties = {
    ...shared,
    ...pool,
    'hibernate.connection.driver_class': isPostgres ? 'org.postgresql.Driver' : 'com.mysql.cj.jdbc.Driver',
    'hibernate.connection.password': password,
    'hibernate.connection.url': jdbcUrl(server, database),
    'hibernate.connection.username': user,
    'hibernate.setup': 'true',
    'webwork.multipart.saveDir': `\${localHome}/temp`,
    'lucene.index.dir': `\${localHome}/index`,
    ...options.properties,
  };
  const kept = [
    'confluence.cfg.xml',
    'attachments',
    'config',
    'resources',
    'shared-home/dcl-document',
    'shared-home/fifo',
    'synchrony-args.properties',
  ];
  write(join(home, 'confluence.cfg.xml'), configuration(properties, { build: BUILD[version] }));
  if (isV4) {
    kept.push('keys', 'secured');
    write(join(home, 'keys/javax.crypto.spec.SecretKeySpec_1'), 'a key');
    write(join(home, 'secured/secrets-config.yaml'), 'secrets: {}\n');
  }
  write(join(home, 'config/confluence-collaborative-editor-plugin/db.properties'), 'a=b\n');
  write(join(home, 'synchrony-args.properties'), 'x=y\n');
  write(join(home, 'shared-home/dcl-document/1/2.pdf'), 'a preview');
  mkdirSync(join(home, 'resources'));
  writeFileSync(
    Buffer.concat([Buffer.from(join(home, 'resources/')), Buffer.from([0xfc, 0x62, 0xff])]),
    'bytes',
  );
  for (const path of MADE_ANEW) write(join(home, path), 'made anew');

  const attachments = versions.map((one) => join('attachments', attachmentPath(isV4, one)));
  for (const [index, path] of attachments.entries()) {
    const file = join(home, path);
    write(file, Buffer.alloc(attachmentBytes + (index % 7), `${path}\n`));
    utimesSync(file, 1_600_000_000 + index, 1_600_000_000 + index);
    if (index % 5 === 0) write(`${file}.extracted_text`, 'extracted');
  }
  await execa('mkfifo', [join(home, 'shared-home/fifo')]);
  const makeSocket = 'use IO::Socket::UNIX; IO::Socket::UNIX->new(Local => shift, Listen => 1) or die $!';
  await execa('perl', ['-e', makeSocket, join(home, 'socket')]);

  const leftOut = [
    ...new Set(
      MADE_ANEW.map((path) =>
        path
          .split('/')
          .slice(0, path.startsWith('shared') ? 2 : 1)
          .join('/'),
      ),
    ),
  ];
  return {
    install,
    home,
    database,
    settings: { CONFLUENCE_INSTALL_DIR: install, CONFLUENCE_HOME_DIR: home },
    attachments,
    places: kept.map((name) => join(home, name)),
    find: leftOut.flatMap((path) => ['-path', `./${path}`, '-prune', '-o']),
  };
}
