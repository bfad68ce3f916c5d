// Where Jira keeps the files of attachments: by the key that the project had first, however often it is renamed, and by the
// issue's number; since 7 in groups of 10,000 issues.
import { join } from 'node:path';
import { quoteName } from '../../databases/toolkit/sql-names.ts';
import type { CrossCheck } from './define-agent.ts';

const ISSUES_PER_GROUP = 10_000;

/** `KEY/10000/KEY-12/10100`, without the group in older versions; beside the files lie thumbnails, which are nobody's. */
const FILE = /^[^/]+\/(?:[1-9]\d*0000\/)?[^/]+-\d+\/\d+(?:_(?!thumb_).+)?$/s;

/**
 * @param engine the database's; MySQL's tables are named without a schema
 * @param below where the attachments lie below the tree's root; empty: they are the tree
 * @returns how rows name files: an attachment is a file that is called by its id, in very old versions with its name
 *   after that. An issue that moves to another project takes its files along.
 */
export function jiraAttachments(
  engine: string,
  schema: string,
  below: string,
): Pick<CrossCheck, 'sql' | 'pathsOf' | 'concerns'> {
  const table = (name: string): string => (engine === 'mysql' ? name : `${quoteName(schema)}.${name}`);
  const prefix = below === '' ? '' : `${below}/`;
  return {
    sql: `SELECT a.id, COALESCE(p.originalkey, p.pkey), i.issuenum, COALESCE(a.filename, '')
      FROM ${table('fileattachment')} a JOIN ${table('jiraissue')} i ON i.id = a.issueid
      JOIN ${table('project')} p ON p.id = i.project`,
    pathsOf([id = '', key = '', issueNumber = '', name = '']) {
      const group = Math.ceil(Number(issueNumber) / ISSUES_PER_GROUP) * ISSUES_PER_GROUP;
      const issue = `${key}-${issueNumber}`;
      return [join(key, String(group), issue), join(key, issue)].flatMap((directory) =>
        [id, `${id}_${name}`].map((file) => join(below, directory, file)),
      );
    },
    concerns: (path) => path.startsWith(prefix) && FILE.test(path.slice(prefix.length)),
  };
}
