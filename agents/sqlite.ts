// SQLite databases by their files, for applications that have no agent of their own.
import { basename } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { paths } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { uniqueNames } from './toolkit/sources.ts';

export default defineAgent({
  application: 'sqlite',
  title: 'SQLite databases',
  testedWith: 'the real thing: SQLite',
  settings: {
    SQLITE_FILES: { parse: paths, describe: 'the database files to back up: /x.db:/y.db' },
  },

  version: () => process.versions.sqlite as string,

  databases({ settings }) {
    const files = settings.SQLITE_FILES ?? [];
    if (files.length === 0) {
      throw cannot('configuration', 'back up', 'SQLite databases', 'SQLITE_FILES is not set', {
        hint: 'SQLITE_FILES=/srv/app/app.db:/srv/other.db, or GARNER_DATABASE_URL=sqlite:///srv/app/app.db',
      });
    }
    const names = uniqueNames(files.map((file) => basename(file)));
    return files.map((file, index) => ({
      name: names[index] as string,
      engine: 'sqlite',
      connection: { file },
    }));
  },

  trees: () => [],
});
