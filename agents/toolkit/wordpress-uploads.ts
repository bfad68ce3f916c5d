// The files that a WordPress's media library names: each uploaded one, the original of a large picture, its sizes, and what
// edits have put aside; for the main site, and for the sites of a network.
import { dirname, join, relative } from 'node:path';
import { isBelow } from './atlassian-home.ts';
import type { CrossCheck, TreeSource } from './define-agent.ts';

const quoted = (table: string): string => `\`${table.replaceAll('`', '``')}\``;

/** Each name in serialized PHP stands after this, and before the next quote: WordPress has none in file names. */
const FILE = '\'s:4:"file";s:\'';
const ORIGINAL = '\'s:14:"original_image";s:\'';
const afterMark = (text: string): string => `SUBSTRING_INDEX(SUBSTRING_INDEX(${text}, '"', 2), '"', -1)`;
const DIGITS = `(${[0, 1, 2, 3, 4, 5, 6, 7].map((digit) => `SELECT ${digit} AS digit`).join(' UNION ALL ')})`;
/** Which of the names; a picture has fewer sizes than that. */
const ORDINALS = `(SELECT tens.digit * 8 + ones.digit + 2 AS at FROM ${DIGITS} tens CROSS JOIN ${DIGITS} ones)`;

/** @returns a SELECT of the site, the attachment's own file, and the file that is meant: `''` where it is that */
function filesOf(prefix: string, site: string): string {
  const attachments = `${quoted(`${prefix}postmeta`)} file JOIN ${quoted(`${prefix}posts`)} post
    ON post.ID = file.post_id AND post.post_type = 'attachment'`;
  const own = `file.meta_key = '_wp_attached_file' AND file.meta_value <> ''`;
  const withMeta = `${attachments} JOIN ${quoted(`${prefix}postmeta`)} meta ON meta.post_id = post.ID
    AND meta.meta_key IN ('_wp_attachment_metadata', '_wp_attachment_backup_sizes')`;
  const names = `(LENGTH(meta.meta_value) - LENGTH(REPLACE(meta.meta_value, ${FILE}, ''))) / LENGTH(${FILE}) + 1`;
  const nth = `SUBSTRING_INDEX(SUBSTRING_INDEX(meta.meta_value, ${FILE}, ordinal.at), ${FILE}, -1)`;
  const original = `SUBSTRING_INDEX(meta.meta_value, ${ORIGINAL}, -1)`;
  return `SELECT '${site}', file.meta_value, '' FROM ${attachments} WHERE ${own}
    UNION ALL SELECT '${site}', file.meta_value, ${afterMark(nth)} FROM ${withMeta}
      JOIN ${ORDINALS} ordinal ON ordinal.at <= ${names} WHERE ${own}
    UNION ALL SELECT '${site}', file.meta_value, ${afterMark(original)} FROM ${withMeta}
      WHERE ${own} AND INSTR(meta.meta_value, ${ORIGINAL}) > 0`;
}

/**
 * @param sites the numbers of a network's other sites
 * @returns a comparison for the main site, and one for the others
 */
export function uploadChecks(
  database: string,
  prefix: string,
  tree: TreeSource,
  uploads: string,
  sites: readonly string[],
): CrossCheck[] {
  const below = relative(tree.root, uploads);
  const pathsOf = ([site = '', attached = '', name = '']: string[]): string[] => {
    const own =
      attached.startsWith('/') && isBelow(attached, uploads) ? relative(uploads, attached) : attached;
    const path = name === '' ? own : name.includes('/') ? name : join(dirname(own), name);
    // media of other servers, and what plugins keep elsewhere
    if (name === attached || /^\/|:\/\/|(^|\/)\.\.(\/|$)/.test(path) || /:\/\//.test(attached)) return [];
    return [join(below, site === '' ? '' : `sites/${site}`, path)];
  };
  const check = (sql: string, place: string): CrossCheck => {
    const base = below === '' ? '' : `${below}/`;
    const file = new RegExp(`^${RegExp.escape(base)}${place}[0-9]{4}/[0-9]{2}/[^/]+$`, 's');
    return { database, tree: tree.name, sql, pathsOf, concerns: (path) => file.test(path) };
  };
  const others = sites.map((site) => filesOf(`${prefix}${site}_`, site)).join(' UNION ALL ');
  return [check(filesOf(prefix, ''), ''), ...(sites.length > 0 ? [check(others, 'sites/[0-9]+/')] : [])];
}
