// A small Nextcloud for tests, in the shape of a major version: configuration as its installer writes it, the tables that
// matter, users' files, and an occ that answers as Nextcloud's documentation says. Nextcloud itself is in no Debian.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Shape {
  version: string;
  text: string;
}
/** 27 knew no `configvalue` that is lazy; 30 has typed settings of apps. */
export const MAJORS: Record<string, Shape> = {
  27: { version: '27.1.11.3', text: '27.1.11' },
  30: { version: '30.0.4.1', text: '30.0.4' },
};

const php = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

/** @returns config.php as var_export writes it */
export function nextcloudConfig(
  values: Record<string, string | number | boolean | object>,
  indent = '  ',
): string {
  const write = (value: unknown, depth: string): string => {
    if (typeof value === 'string') return php(value);
    if (typeof value !== 'object' || value === null) return String(value);
    const entries = Object.entries(value).map(
      ([key, each]) =>
        `${depth}${indent}${/^\d+$/.test(key) ? key : php(key)} => ${typeof each === 'object' ? `\n${depth}${indent}` : ''}${write(each, depth + indent)},\n`,
    );
    return `array (\n${entries.join('')}${depth})`;
  };
  return `<?php\n$CONFIG = ${write(values, '')};\n`;
}

/** As `occ maintenance:mode`: it writes config.php; and a line of its log for the test. */
const OCC = `<?php
$file = __DIR__ . '/config/config.php';
include $file;
$option = $argv[2] ?? '';
file_put_contents(__DIR__ . '/../occ.log', posix_geteuid() . ' ' . implode(' ', array_slice($argv, 1)) . "\\n", FILE_APPEND);
if (fileowner($file) !== posix_geteuid()) {
  echo "Console has to be executed with the user that owns the file config/config.php\\n";
  exit(1);
}
if ($argv[1] !== 'maintenance:mode') exit(1);
$is = $CONFIG['maintenance'] ?? false;
$wanted = ['--on' => true, '--off' => false][$option] ?? null;
if ($wanted === null) echo 'Maintenance mode is currently ' . ($is ? 'enabled' : 'disabled') . "\\n";
elseif ($wanted === $is) echo 'Maintenance mode already ' . ($is ? 'enabled' : 'disabled') . "\\n";
else {
  $CONFIG['maintenance'] = $wanted;
  file_put_contents($file, "<?php\\n\\$CONFIG = " . var_export($CONFIG, true) . ";\\n");
  echo 'Maintenance mode ' . ($wanted ? 'enabled' : 'disabled') . "\\n";
}
`;

/** @returns the tables and rows of the file cache; @param text the type of texts */
export const nextcloudTables = (prefix = 'oc_', text = 'VARCHAR(250)'): string => `
  CREATE TABLE ${prefix}storages (numeric_id INTEGER PRIMARY KEY, id ${text});
  INSERT INTO ${prefix}storages VALUES (1, 'home::åsa'), (2, 'local::/srv/data/'), (3, 'home::bob'), (4, 'shared::x');
  CREATE TABLE ${prefix}mimetypes (id INTEGER PRIMARY KEY, mimetype ${text});
  INSERT INTO ${prefix}mimetypes VALUES (1, 'httpd'), (2, 'httpd/unix-directory'), (3, 'text/plain');
  CREATE TABLE ${prefix}filecache (fileid INTEGER PRIMARY KEY, storage INTEGER, path VARCHAR(4000), mimetype INTEGER);
  INSERT INTO ${prefix}filecache VALUES (1, 1, '', 2), (2, 1, 'files', 2), (3, 1, 'files/Räksmörgås 🦔.txt', 3),
    (4, 1, 'files/it''s', 2), (5, 1, 'files/it''s/x.txt', 3), (6, 1, 'files_trashbin/files/old.txt.d1700000000', 3),
    (7, 1, 'files_versions/a.txt.v1700000000', 3), (8, 1, 'cache/gone.txt', 3), (9, 1, 'uploads/1/00001', 3),
    (10, 2, 'appdata_x/preview/1.png', 3), (11, 3, 'files/b.txt', 3), (12, 4, 'files/elsewhere.txt', 3), (13, 1, NULL, 3);
  CREATE TABLE ${prefix}appconfig (appid ${text}, configkey ${text}, configvalue TEXT);
  CREATE TABLE ${prefix}users (uid ${text}); INSERT INTO ${prefix}users VALUES ('åsa'), ('bob');`;

/** The users' files that the tables name, and what is left out. */
const DATA: Record<string, string> = {
  '.ocdata': '',
  'åsa/files/Räksmörgås 🦔.txt': 'lunch',
  "åsa/files/it's/x.txt": 'x',
  'åsa/files_trashbin/files/old.txt.d1700000000': 'old',
  'åsa/files_versions/a.txt.v1700000000': 'older',
  'bob/files/b.txt': 'b',
  'appdata_x/avatar/åsa/avatar.png': 'a face',
  'åsa/cache/gone.txt': 'made anew',
  'åsa/uploads/1/00001': 'half an upload',
  'appdata_x/preview/1.png': 'made anew',
  'updater-x/backups/x.php': 'an older program',
  'nextcloud.log': 'a log',
  'nextcloud.log.1': 'an older one',
};
export const LEFT_OUT = [
  ...[
    './åsa/cache',
    './åsa/uploads',
    './appdata_x/preview',
    './updater-x',
    './nextcloud.log',
    './nextcloud.log.1',
  ],
];

/** @param config config.php without what every one has */
export function layOutNextcloud(
  directory: string,
  { version, text }: Shape,
  config: Record<string, string | number | boolean | object>,
): void {
  const numbers = version.split('.').join(', ');
  const files: Record<string, string> = {
    occ: OCC,
    'version.php': `<?php\n$OC_Version = array(${numbers});\n$OC_VersionString = '${text}';\n$OC_Edition = '';\n$vendor = 'nextcloud';\n`,
    'core/shipped.json': JSON.stringify({ shippedApps: ['files', 'theming'], defaultEnabled: [] }),
    'apps/files/info.xml': '<info/>',
    'apps/calendar/info.xml': '<info/>',
    'custom_apps/deck/info.xml': '<info/>',
    'themes/own/theme.css': 'a {}',
    '.htaccess': 'Options -Indexes',
    'config/config.php': nextcloudConfig({
      ...{ instanceid: 'oc1', passwordsalt: 'canary-salt', secret: 'canary-secret' },
      trusted_domains: { 0: 'cloud.example.org', 1: '10.0.0.1' },
      version,
      installed: true,
      ...config,
    }),
  };
  for (const [name, content] of Object.entries(DATA)) files[`data/${name}`] = content;
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content, { mode: name.endsWith('config.php') ? 0o640 : 0o644 });
  }
}
