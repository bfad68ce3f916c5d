// Uploaded files of a MediaWiki: where they lie, and which file each row of its database means. As in MediaWiki's own
// FileRepo.php, LocalRepo.php and File.php.
import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import type { CrossCheck, TreeSource } from './define-agent.ts';
import { NOT_LITERAL, type PhpSettings } from './php.ts';

/** Settings that say that files may lie elsewhere than in one directory that MediaWiki lays out. */
const OTHER_STORES = ['wgLocalFileRepo', 'wgFileBackends', 'wgAWSBucketName'];
const READ_LITERALLY = ['wgDBprefix', 'wgDBmwschema', 'wgHashedUploadDirectory', 'wgDeletedDirectory'];
/** What the package puts beside uploads. */
const SHIPPED = ['README', '.htaccess', 'index.html'];

export interface UploadDirectories {
  /** $wgUploadDirectory; without links, as the next. */
  uploads: string;
  /** $wgDeletedDirectory, where it is set. */
  deleted: string | undefined;
}

const isApart = ({ uploads, deleted }: UploadDirectories): boolean =>
  deleted !== undefined && /^\.\.(\/|$)/.test(relative(uploads, deleted));

/** @returns the tree of uploaded files, and that of deleted ones where they lie apart */
export function uploadTrees(directories: UploadDirectories): TreeSource[] {
  const { uploads, deleted } = directories;
  const images = { name: 'images', root: uploads, excludes: ['thumb', 'temp', 'lockdir'] };
  return isApart(directories) ? [images, { name: 'deleted', root: deleted as string }] : [images];
}

/** @returns how rows and files are compared; nothing where the configuration leaves open what belongs together */
export function uploadChecks(
  php: PhpSettings,
  { name: database, engine }: DatabaseSource,
  directories: UploadDirectories,
): CrossCheck[] {
  if (OTHER_STORES.some((name) => php.value(name))) return [];
  if (READ_LITERALLY.some((name) => php.value(name) === NOT_LITERAL)) return [];
  const isHashed = Boolean(php.value('wgHashedUploadDirectory') ?? true);
  const table = (name: string): string => tableName(php, engine, name);
  const apart = isApart(directories);
  const { uploads, deleted = `${uploads}/deleted` } = directories;
  const deletedBelow = apart ? '' : `${relative(uploads, deleted)}/`;

  const zones = [
    {
      tree: 'images',
      below: '',
      file: new RegExp(`^(archive/)?${isHashed ? '[0-9a-f]/[0-9a-f]{2}/' : ''}[^/]+$`, 's'),
      sql: `SELECT 'image', img_name, '' FROM ${table('image')}
        UNION ALL SELECT 'archive', oi_archive_name, oi_name FROM ${table('oldimage')}
        WHERE oi_archive_name <> '' AND (oi_deleted & 1) = 0`,
    },
    {
      tree: apart ? 'deleted' : 'images',
      below: deletedBelow,
      file: new RegExp(`^${isHashed ? '([0-9a-z]/){3}' : ''}[0-9a-z]{31}(\\.[^/]*)?$`, 's'),
      // an old version that is hidden lies with the deleted files
      sql: `SELECT 'deleted', fa_storage_key, '' FROM ${table('filearchive')}
        WHERE fa_storage_group = 'deleted' AND fa_storage_key <> ''
        UNION ALL SELECT 'hidden', oi_sha1, oi_name FROM ${table('oldimage')}
        WHERE oi_archive_name <> '' AND (oi_deleted & 1) = 1 AND oi_sha1 <> ''`,
    },
  ];
  return [...new Set(zones.map(({ tree }) => tree))].map((tree) => {
    const own = zones.filter((zone) => zone.tree === tree);
    return {
      database,
      tree,
      sql: own.map(({ sql }) => sql).join(' UNION ALL '),
      pathsOf: (row) => [pathOf(row as [string, string, string], isHashed, deletedBelow)],
      concerns: (path) =>
        !SHIPPED.includes(path) &&
        own.some(({ below, file }) => path.startsWith(below) && file.test(path.slice(below.length))),
    };
  });
}

/** @returns a table as it stands in SQL */
function tableName(php: PhpSettings, engine: string, name: string): string {
  const quote = engine === 'mysql' ? '`' : '"';
  const quoted = (text: string): string => quote + text.replaceAll(quote, quote + quote) + quote;
  const full = quoted(`${php.literal('wgDBprefix') ?? ''}${name}`);
  return engine === 'postgres' ? `${quoted(php.literal('wgDBmwschema') ?? 'public')}.${full}` : full;
}

function pathOf(
  [kind, key, name]: [string, string, string],
  isHashed: boolean,
  deletedBelow: string,
): string {
  if (kind === 'image' || kind === 'archive') {
    const hash = createHash('md5')
      .update(kind === 'image' ? key : name)
      .digest('hex');
    return `${kind === 'archive' ? 'archive/' : ''}${isHashed ? `${hash[0]}/${hash.slice(0, 2)}/` : ''}${key}`;
  }
  const file = kind === 'hidden' ? `${key}${extensionOf(name)}` : key;
  const hash = isHashed ? `${key[0]}/${key[1]}/${key[2]}/` : '';
  return `${deletedBelow}${hash}${file}`;
}

const SAME_EXTENSION: Record<string, string> = {
  htm: 'html',
  jpeg: 'jpg',
  mpeg: 'mpg',
  tiff: 'tif',
  ogv: 'ogg',
};

/** @returns the extension that a deleted file gets, with its dot */
function extensionOf(name: string): string {
  const written = /.\.([0-9a-z]+)$/i.exec(name)?.[1]?.toLowerCase();
  return written === undefined ? '' : `.${SAME_EXTENSION[written] ?? written}`;
}
