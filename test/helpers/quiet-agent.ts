// An agent whose application is quieted by a file, as a command of its own: for tests that kill it in the middle. The
// application is busy without the file `lock`; a backup stays in its quiet phase as long as there is a file `wait`.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentMain } from '../../agents/toolkit/command.ts';
import { defineAgent } from '../../agents/toolkit/define-agent.ts';
import { runCommand } from '../../lib/command-line.ts';
import { CORE_SETTINGS, path } from '../../lib/settings.ts';

const settings = { LOCKABLE_DIR: { parse: path, default: '/nonexistent', describe: 'where it is' } };

const agent = defineAgent({
  application: 'lockable',
  title: 'Lockable',
  settings,
  version: () => '1',
  databases: () => [],
  trees: ({ settings }) => [{ name: 'data', root: join(settings.LOCKABLE_DIR, 'data') }],
  quiet: {
    async begin({ settings, signal }, remember) {
      const token = `token of ${process.pid}`;
      remember(token);
      writeFileSync(join(settings.LOCKABLE_DIR, 'lock'), token, { flag: 'wx' });
      while (existsSync(join(settings.LOCKABLE_DIR, 'wait'))) await sleep(20, undefined, { signal });
    },
    async end({ settings }, token) {
      await sleep(20);
      if (!/^token of \d+$/.test(String(token))) throw new Error('it is no token of mine');
      rmSync(join(settings.LOCKABLE_DIR, 'lock'), { force: true });
    },
  },
});

await runCommand(agentMain(agent), process.argv.slice(2), {
  program: 'agent-lockable',
  beside: [],
  known: { ...CORE_SETTINGS, ...settings },
});
