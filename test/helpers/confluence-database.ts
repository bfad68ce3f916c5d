// The database of a made-up Confluence, in one of the two dialects: the tables, types, keys in circles and odd names of
// its schema, of any size.
import type { MariaDb } from './mariadb.ts';
import type { Postgres } from './postgres.ts';

type Cell = string | number | boolean | Date | null;

/** Collects a database in one of the two dialects. */
class Sql {
  readonly isPostgres: boolean;
  private readonly statements: string[] = [];
  private readonly keys: string[] = [];

  constructor(isPostgres: boolean) {
    this.isPostgres = isPostgres;
  }

  /** Names with a small letter, and those of plugins, are written as they are. */
  name(name: string): string {
    if (this.isPostgres) return /^AO_|^ID$|^[A-Z_]+_KEY$|^KEY$/.test(name) ? `"${name}"` : name.toLowerCase();
    return `\`${name}\``;
  }

  private type(type: string): string {
    const types: Record<string, [string, string]> = {
      id: ['BIGINT NOT NULL', 'BIGINT NOT NULL'],
      ref: ['BIGINT', 'BIGINT'],
      int: ['INT', 'INTEGER'],
      text: ['LONGTEXT COLLATE utf8mb4_bin', 'TEXT'],
      date: ['DATETIME', 'TIMESTAMP WITHOUT TIME ZONE'],
      bool: ["BIT(1) NOT NULL DEFAULT b'0'", 'BOOLEAN NOT NULL DEFAULT false'],
      char: ['CHAR(1) COLLATE utf8mb4_bin', 'CHAR(1)'],
      string: ['VARCHAR(255) COLLATE utf8mb4_bin', 'VARCHAR(255)'],
      key: ['VARCHAR(190) COLLATE utf8mb4_bin NOT NULL', 'VARCHAR(255) NOT NULL'],
    };
    return (types[type] as [string, string])[this.isPostgres ? 1 : 0];
  }

  /**
   * @param columns `NAME type` or `NAME type >TABLE.COLUMN`; the first is the primary key
   * @param rows in the order of the columns; what is missing is NULL
   */
  table(name: string, columns: string[], rows: Cell[][]): void {
    const parsed = columns.map((column) => column.split(' ') as [string, string, string | undefined]);
    const primary = parsed[0]?.[0] as string;
    const lines = parsed.map(([column, type]) => `${this.name(column)} ${this.type(type)}`);
    const engine = this.isPostgres ? '' : ' ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin';
    this.statements.push(
      `CREATE TABLE ${this.name(name)} (${lines.join(', ')}, PRIMARY KEY (${this.name(primary)}))${engine};`,
    );
    const names = parsed.map(([column]) => this.name(column)).join(', ');
    for (let at = 0; at < rows.length; at += 500) {
      const values = rows.slice(at, at + 500).map((row) => {
        const cells = parsed.map(([, type], index) => this.literal(row[index] ?? null, type));
        return `(${cells.join(', ')})`;
      });
      this.statements.push(`INSERT INTO ${this.name(name)} (${names}) VALUES ${values.join(',\n')};`);
    }
    for (const [index, [column, , target]] of parsed.entries()) {
      if (target === undefined) continue;
      const [table = '', other = ''] = target.slice(1).split('.');
      const key = this.name(`fk_${name}_${index}`.toLowerCase());
      // tables refer to each other in circles
      this.keys.push(
        `ALTER TABLE ${this.name(name)} ADD CONSTRAINT ${key} FOREIGN KEY (${this.name(column)}) REFERENCES ${this.name(table)} (${this.name(other)});`,
      );
    }
  }

  private literal(cell: Cell, type: string): string {
    if (cell === null) return type === 'bool' ? 'DEFAULT' : 'NULL';
    if (typeof cell === 'number') return String(cell);
    if (typeof cell === 'boolean') return this.isPostgres ? String(cell) : cell ? "b'1'" : "b'0'";
    const text = cell instanceof Date ? cell.toISOString().replace('T', ' ').slice(0, 19) : cell;
    const quoted = text.replaceAll("'", "''");
    return `'${this.isPostgres ? quoted : quoted.replaceAll('\\', '\\\\')}'`;
  }

  text(): string {
    const also = this.isPostgres
      ? 'CREATE SEQUENCE seq_journal_entry_id START 4711; CREATE INDEX c_title_idx ON content (lower(title));'
      : 'CREATE INDEX c_title_idx ON CONTENT (TITLE(190));';
    return [...this.statements, ...this.keys, also].join('\n');
  }
}

/** How much of it there is. */
export interface Size {
  spaces: number;
  pages: number;
  attachmentsPerPage: number;
}

/** One version of an attachment. */
export interface Attachment {
  id: number;
  version: number;
  page: number;
  space: number | undefined;
}

/** @returns each version of each attachment */
function fill(sql: Sql, { spaces, pages, attachmentsPerPage }: Size): Attachment[] {
  const date = (day: number): Date => new Date(Date.UTC(2021, 0, 1 + (day % 1000), 3, 4, 5));
  const users = ['admin', 'Räksmörgås', "o'brien"];
  const userKey = (index: number): string => `8a8080${String(index).padStart(26, '0')}`;
  const spaceId = (index: number): number => 98_306 + index * 32_768;
  const pageId = (index: number): number => 1_245_187 + index * 7;
  let nextId = 40_000_001;
  const content: Cell[][] = [];
  const bodies: Cell[][] = [];
  const properties: Cell[][] = [];
  const attachments: Attachment[] = [];
  const addContent = (
    id: number,
    type: string,
    title: string | null,
    { version = 1, status = 'current', previous, page, space, parent }: Partial<Record<string, Cell>> = {},
  ): void => {
    const dates = [userKey(0), date(id), userKey(id % users.length), date(id + 1)];
    const lower = title?.toLowerCase() ?? null;
    content.push([id, 7, type, title, lower, version, ...dates, '', previous ?? null, status, page ?? null]);
    content.at(-1)?.push(space ?? null, null, parent ?? null);
  };
  const attach = (page: number, space: number | undefined, index: number, status = 'current'): void => {
    const id = nextId++;
    const versions = 1 + (index % 3);
    for (let version = versions; version >= 1; version--) {
      const isCurrent = version === versions;
      const own = isCurrent ? id : nextId++;
      const previous = isCurrent ? null : id;
      const title = `Bild ${index} – "q" 🦔.png`;
      addContent(own, 'ATTACHMENT', title, { version, status, previous, page, space: space ?? null });
      properties.push([nextId++, 'MEDIA_TYPE', 'image/png', null, null, own]);
      properties.push([nextId++, 'FILESIZE', null, 1000 + index, null, own]);
      attachments.push({ id, version, page, space });
    }
  };

  for (let index = 0; index < spaces; index++)
    addContent(spaceId(index) + 1, 'SPACEDESCRIPTION', null, { space: spaceId(index) });
  for (let index = 0; index < pages; index++) {
    const id = pageId(index);
    const space = spaceId(index % spaces);
    const isTrash = index % 50 === 49;
    const parent = index > 9 ? pageId(index % 10) : null;
    const status = isTrash ? 'deleted' : 'current';
    addContent(id, index % 7 === 6 ? 'BLOGPOST' : 'PAGE', `Seite ${index}`, {
      version: 2,
      status,
      space,
      parent,
    });
    const old = nextId++;
    addContent(old, 'PAGE', `Seite ${index}`, { previous: id });
    for (const owner of [id, old])
      bodies.push([
        nextId++,
        `<p>It's <ac:link><ri:page ri:content-title="Seite 1" /></ac:link> \\ 100&nbsp;% 🦔 ');-- ${'x'.repeat(index % 400)}</p>`,
        owner,
        2,
      ]);
    addContent(nextId++, 'COMMENT', null, { page: id });
    for (let n = 0; n < attachmentsPerPage; n++) attach(id, space, index + n, status);
  }
  const profile = nextId++;
  addContent(profile, 'USERINFO', null);
  attach(profile, undefined, 0); // a picture of a person is in no space

  sql.table(
    'user_mapping',
    ['user_key key', 'username key', 'lower_username string'],
    users.map((name, index) => [userKey(index), name, name.toLowerCase()]),
  );
  sql.table(
    'cwd_directory',
    ['id id', 'directory_name key', 'active char', 'created_date date'],
    [[65_537, 'Confluence Internal Directory', 'T', date(0)]],
  );
  sql.table(
    'cwd_user',
    ['id id', 'user_name key', 'active char', 'credential string', 'directory_id ref >cwd_directory.id'],
    users.map((name, index) => [131_073 + index, name, 'T', '{PKCS5S2}Zm9v', 65_537]),
  );
  sql.table(
    'CONTENT',
    [
      ...['CONTENTID id', 'HIBERNATEVERSION int', 'CONTENTTYPE key', 'TITLE string', 'LOWERTITLE string'],
      ...['VERSION int', 'CREATOR string', 'CREATIONDATE date', 'LASTMODIFIER string', 'LASTMODDATE date'],
      ...['VERSIONCOMMENT text', 'PREVVER ref >CONTENT.CONTENTID', 'CONTENT_STATUS string'],
      ...['PAGEID ref >CONTENT.CONTENTID', 'SPACEID ref >SPACES.SPACEID', 'CHILD_POSITION int'],
      ...['PARENTID ref >CONTENT.CONTENTID', 'MESSAGEID string', 'PLUGINKEY string', 'PLUGINVER string'],
      ...[
        'PARENTCCID ref',
        'DRAFTPAGEID string',
        'DRAFTSPACEKEY string',
        'DRAFTTYPE string',
        'USERNAME string',
      ],
    ],
    content,
  );
  sql.table(
    'SPACES',
    [
      ...['SPACEID id', 'SPACENAME string', 'SPACEKEY key', 'LOWERSPACEKEY key'],
      ...['SPACEDESCID ref >CONTENT.CONTENTID', 'HOMEPAGE ref >CONTENT.CONTENTID', 'CREATIONDATE date'],
      ...['SPACETYPE string', 'SPACESTATUS string'],
    ],
    Array.from({ length: spaces }, (_, index) => [
      ...[spaceId(index), `Räume & mehr ${index}`, `DS${index}`, `ds${index}`, spaceId(index) + 1],
      ...[index < pages ? pageId(index) : null, date(index), 'global', 'CURRENT'],
    ]),
  );
  sql.table(
    'BODYCONTENT',
    ['BODYCONTENTID id', 'BODY text', 'CONTENTID ref >CONTENT.CONTENTID', 'BODYTYPEID int'],
    bodies,
  );
  sql.table(
    'CONTENTPROPERTIES',
    [
      ...['PROPERTYID id', 'PROPERTYNAME key', 'STRINGVAL string', 'LONGVAL ref', 'DATEVAL date'],
      'CONTENTID ref >CONTENT.CONTENTID',
    ],
    properties,
  );
  sql.table(
    'LABEL',
    ['LABELID id', 'NAME key', 'NAMESPACE string'],
    [
      [1, 'wichtig', 'global'],
      [2, 'favourite', 'my'],
    ],
  );
  sql.table(
    'CONTENT_LABEL',
    ['ID id', 'LABELID ref >LABEL.LABELID', 'CONTENTID ref >CONTENT.CONTENTID', 'OWNER string'],
    [[1, 1, pageId(0), 'admin']],
  );
  sql.table(
    'LINKS',
    ['LINKID id', 'DESTPAGETITLE string', 'DESTSPACEKEY key', 'CONTENTID ref >CONTENT.CONTENTID'],
    [[1, 'Seite 1', 'DS0', pageId(0)]],
  );
  sql.table(
    'EXTRNLNKS',
    ['LINKID id', 'URL text', 'VIEWCOUNT int', 'CONTENTID ref >CONTENT.CONTENTID'],
    [[1, 'https://example.org/?a=1&b=%20', 3, pageId(0)]],
  );
  sql.table(
    'NOTIFICATIONS',
    ['NOTIFICATIONID id', 'CONTENTID ref >CONTENT.CONTENTID', 'USERNAME string', 'DIGEST bool'],
    [
      [1, pageId(0), userKey(0), true],
      [2, pageId(0), userKey(1)],
    ],
  );
  sql.table(
    'BANDANA',
    ['BANDANAID id', 'BANDANACONTEXT key', 'BANDANAKEY key', 'BANDANAVALUE text'],
    [
      [
        1,
        '_GLOBAL',
        'atlassian.confluence.settings',
        '<settings>\n\t<baseUrl>https://wiki.example.org</baseUrl>\n</settings>',
      ],
    ],
  );
  sql.table(
    'OS_PROPERTYENTRY',
    ['entity_id id', 'entity_name key', 'entity_key key', 'key_type int', 'string_val text'],
    [[0, 'confluence_ContentEntityObject', 'confluence.prefs', 5, '\\"\'']],
  );
  sql.table('CONFVERSION', ['CONFVERSIONID id', 'BUILDNUMBER int', 'INSTALLDATE date'], [[1, 8804, date(1)]]);
  sql.table(
    'CONFZDU',
    ['id key', 'state string', 'original_cluster_version string'],
    [['singleton', 'STABLE', '7.19.2']],
  );
  sql.table(
    'AO_6384AB_DISCOVERED',
    ['ID id', 'PLUGIN_KEY string', 'USER_KEY string'],
    [[1, 'some.plugin', userKey(0)]],
  );
  sql.table('AO_9412A1_AOTASK', ['ID id', 'GLOBAL_KEY string', 'TITLE text'], [[1, 'k', 'Aufgabe "1"']]);
  return attachments;
}

/**
 * Makes the database and its account.
 * @returns each version of each attachment
 */
export async function createConfluenceDatabase(
  server: MariaDb | Postgres,
  { database, user, password, ...size }: { database: string; user: string; password: string } & Size,
): Promise<Attachment[]> {
  const isPostgres = !('socket' in server);
  await server.createDatabase(database, user, password);
  const sql = new Sql(isPostgres);
  const attachments = fill(sql, size);
  const before = isPostgres
    ? `SET ROLE "${user}";`
    : `ALTER DATABASE \`${database}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;`;
  await server.query(`${before}\n${sql.text()}`, database);
  return attachments;
}
