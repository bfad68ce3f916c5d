// Where Confluence keeps the files of attachments: two layouts by the ids of its rows, `ver003` up to 8.0 and `v4` since
// 8.1. A site that was upgraded may have files in both.
import { join } from 'node:path';
import { quoteName } from '../../databases/toolkit/sql-names.ts';
import type { CrossCheck } from './define-agent.ts';

/** Least significant three digits, and the three before them, each modulo 250. */
const byThousands = (id: number): string =>
  `${(id % 1000) % 250}/${(Math.floor(id / 1000) % 1000) % 250}/${id}`;

/** @param space 0: content that is in no space */
const ver003 = (space: number, page: number, attachment: number, version: string): string =>
  `ver003/${space === 0 ? 'nonspaced' : byThousands(space)}/${byThousands(page)}/${attachment}/${version}`;

function v4(attachment: number, version: string): string {
  const part = attachment % 65535;
  return `v4/${part % 256}/${Math.floor(part / 256)}/${attachment}/${attachment}.${version}`;
}

/** Files of attachments; beside them lie extracted texts, which are made anew. */
const FILE = /^(?:ver003\/(?:\d+\/\d+\/\d+|nonspaced)(?:\/\d+){5}|v4\/\d+\/\d+\/(\d+)\/\1\.\d+)$/;

/**
 * @param engine the database's; PostgreSQL's tables are named with their schema
 * @param below where the attachments lie below the tree's root; empty: they are the tree
 * @param isV4 whether the site has files in the newer layout: then a file that is missing is told by it
 * @returns how rows name files: each version of an attachment by the id of its current row. An attachment lies under
 *   its page's space, or while it is moved under its own.
 */
export function attachmentFiles(
  engine: string,
  schema: string,
  below: string,
  isV4: boolean,
): Pick<CrossCheck, 'sql' | 'pathsOf' | 'concerns'> {
  const content = engine === 'postgres' ? `${quoteName(schema)}.content` : 'CONTENT';
  const prefix = below === '' ? '' : `${below}/`;
  return {
    sql: `SELECT COALESCE(a.PREVVER, a.CONTENTID), COALESCE(a.VERSION, 1), COALESCE(c.PAGEID, a.PAGEID, 0),
      COALESCE(p.SPACEID, 0), COALESCE(c.SPACEID, a.SPACEID, 0)
      FROM ${content} a LEFT JOIN ${content} c ON c.CONTENTID = a.PREVVER
      LEFT JOIN ${content} p ON p.CONTENTID = COALESCE(c.PAGEID, a.PAGEID)
      WHERE a.CONTENTTYPE = 'ATTACHMENT'`,
    pathsOf(row) {
      const [attachment = 0, , page = 0, pageSpace = 0, ownSpace = 0] = row.map(Number);
      const version = row[1] as string;
      const spaces = new Set([pageSpace, ownSpace, 0]);
      const older = [...spaces].map((space) => ver003(space, page, attachment, version));
      const newer = v4(attachment, version);
      const files = isV4 ? [newer, ...older] : [...older, newer];
      return files.map((file) => join(below, file));
    },
    concerns: (path) => path.startsWith(prefix) && FILE.test(path.slice(prefix.length)),
  };
}
