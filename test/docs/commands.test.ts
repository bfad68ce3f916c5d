// Every command, setting and configuration that the pages show is one that garner takes, and every link leads somewhere.
// What is run as it stands there, and by which test, is said below: a block of shell that is in neither table fails.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Command } from 'commander';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readHooksFile, withUndo } from '../../agents/toolkit/hooks.ts';
import { operationSchema, readOperations } from '../../agents/toolkit/operations.ts';
import { configurationSchema } from '../../archiver/configuration-schema.ts';
import { readBucketConfiguration } from '../../bucket/configuration.ts';
import { commandNames, findCommand } from '../../cli/commands.ts';
import { knownSettings } from '../../cli/known-settings.ts';
import { parseEnvLines } from '../../lib/configuration-file.ts';
import { asGarnerError } from '../../lib/errors.ts';
import { type Block, blocksOf, commandsOf, ROOT, readPages, simpleCommands } from './pages.ts';

/** Blocks of shell that a test runs as they stand there: page, how the block begins, test. */
const RUN: [string, string, string][] = [
  ['README.md', 'garner init', 'test/cli/init.test.ts'],
  ['README.md', 'ARCHIVE=$(ls', 'test/cli/init.test.ts'],
  ['docs/archive-format.md', '# every member', 'test/docs/archive-format.test.ts'],
  ['docs/archive-format.md', '# one member', 'test/docs/archive-format.test.ts'],
  ['docs/buckets.md', 'zcat', 'test/docs/buckets.test.ts'],
  ['docs/databases.md', '# restore a MariaDB or MySQL database by hand', 'test/docs/databases.test.ts'],
  ['docs/databases.md', '# restore a PostgreSQL database by hand', 'test/docs/databases.test.ts'],
  ['docs/databases.md', '# restore a SQLite database by hand', 'test/docs/databases.test.ts'],
  ['docs/emergency.md', '# what there is', 'test/docs/emergency.test.ts'],
  ['docs/emergency.md', '# the newest archive from before', 'test/docs/emergency.test.ts'],
  ['docs/emergency.md', '# encrypted members', 'test/docs/emergency.test.ts'],
  ['docs/emergency.md', '# the files of each tree', 'test/docs/emergency.test.ts'],
  ['docs/emergency.md', '# wiki.dump.zst: SQLite', 'test/docs/emergency.test.ts'],
  ['docs/emergency.md', '# wiki.sql.zst: MariaDB', 'test/docs/databases.test.ts'],
  ['docs/emergency.md', '# a new server', 'test/docs/databases.test.ts'],
  ['docs/emergency.md', '# wiki.dump.zst: PostgreSQL', 'test/docs/databases.test.ts'],
  ['docs/notifier.md', 'PATH=', 'test/notifier/manual.test.ts'],
  ['docs/quick-start.md', 'archiver init', 'test/docs/archiver.test.ts'],
  ['docs/archiver.md', 'archiver find', 'test/docs/archiver.test.ts'],
  ['docs/transports.md', '{ printf', 'test/notifier/transports/webhook.test.ts'],
];

/** Those that none runs: page, how the block begins, why. Their commands are checked all the same. */
const NOT_RUN: [string, string, string][] = [
  ['docs/ansible.md', 'make deb', 'test/ansible plays against hosts in containers'],
  ['docs/buckets.md', 'bucket --config', 'test/bucket runs such against an object storage of its own'],
  ['docs/buckets.md', '15 2 * * *', 'test/bucket runs its commands'],
  ['docs/buckets.md', 'bucket restore', 'test/bucket runs such against an object storage of its own'],
  ['docs/agents.md', '', 'generated: what agents say; the suites of test/agents run their restores'],
  ['README.md', 'make demo', 'test/scripts/demo.test.ts runs the one, the other is what runs this test'],
  ['README.md', 'apt-get install', 'installs packages'],
  ['README.md', '41 2 * * *', 'test/cli/init.test.ts runs the lines that init writes'],
  ['docs/moving-over.md', '15 2 * * *', 'test/notifier/manual.test.ts runs such lines'],
  [
    'docs/quick-start.md',
    'adduser',
    'makes an account of the system; test/archiver/sftp.test.ts has such a server',
  ],
  ['docs/quick-start.md', '# the next backup opens', 'wants the account'],
  ['docs/quick-start.md', 'install -d', 'writes into /etc'],
  [
    'docs/quick-start.md',
    'archiver init',
    'test/archiver/sftp.test.ts runs the same against a server of its own',
  ],
  ['docs/quick-start.md', 'PATH=', 'each command of it is run by a test in test/archiver'],
  [
    'docs/databases.md',
    '# restore a Redis server',
    'test/databases/redis.test.ts has a server load such a file',
  ],
  ['docs/databases.md', '# restore an OpenLDAP', "would write into slapd's own directories"],
  ['docs/databases.md', '# restore a MongoDB', 'Debian has no MongoDB'],
  ['docs/doctor.md', 'garner init', 'test/cli/init.test.ts runs the same in places of its own'],
  ['docs/doctor.md', '$ garner doctor', 'test/cli/doctor.test.ts runs the same in places of its own'],
  ['docs/emergency.md', 'agent-mediawiki restore', 'test/agents/restore-in-place.test.ts runs the same'],
  ['docs/install.md', 'cd dist', 'test/packaging/forms.test.ts does the same where dist/ is built'],
  ['docs/install.md', 'apt install', 'test/packaging/forms.test.ts installs the package by dpkg'],
  ['docs/install.md', 'systemctl', 'wants systemd'],
  ['docs/install.md', 'install -m', 'test/packaging/forms.test.ts calls the executable by links'],
  ['docs/install.md', 'npm install', 'test/packaging/forms.test.ts installs it into a place of its own'],
  ['docs/notifier.md', '$ notify history', 'test/notifier/show-history.test.ts shows such'],
  ['docs/transports.md', '#!/bin/sh', 'an example of a program that is yours'],
];

const PAGES = readPages();
const BLOCKS = PAGES.flatMap(blocksOf);
const SHELL = ['sh', 'console', 'crontab'];
const LANGUAGES = [...SHELL, 'usage', 'env', 'yaml', 'text', 'json', 'ini', 'sql', 'redis', 'js', 'ts'];

const of = (language: string): Block[] => BLOCKS.filter((block) => block.language === language);
const isIn = (table: [string, string, string][], { page, content }: Block): boolean =>
  table.some(([path, begins]) => path === page && content.startsWith(begins));
const named = (block: Block): string => `${block.page}: ${block.content.split('\n')[0]}`;

/** @returns what garner says against a command line, or undefined; nothing is run */
async function problemOf([program = '', ...args]: string[]): Promise<string | undefined> {
  const main = await findCommand(basename(program));
  if (main === undefined) return undefined;
  try {
    await main(args, { program: basename(program), known: {}, beside: [] });
  } catch (caught) {
    const { message, hint } = asGarnerError(caught);
    return `${[program, ...args].join(' ')}: ${message} (${hint})`;
  }
  const end = args.indexOf('--');
  return end === -1 ? undefined : problemOf(args.slice(end + 1));
}

const problemsOf = async (commands: string[][]): Promise<string[]> =>
  (await Promise.all(commands.map(problemOf))).filter((problem) => problem !== undefined);

describe('commands', () => {
  const { parseAsync } = Command.prototype;
  const { NOTIFY_SYSLOG_SOCKET } = process.env;
  beforeAll(() => {
    const disarm = (command: Command): void => {
      command.configureOutput({ writeOut: () => {} });
      if (command.commands.length === 0) command.action(() => {});
      command.commands.forEach(disarm);
    };
    Command.prototype.parseAsync = function (this: Command, ...args) {
      disarm(this);
      return parseAsync.apply(this, args);
    };
    process.env.NOTIFY_SYSLOG_SOCKET = '/nowhere';
  });
  afterAll(() => {
    Command.prototype.parseAsync = parseAsync;
    process.env.NOTIFY_SYSLOG_SOCKET = NOTIFY_SYSLOG_SOCKET;
  });

  it('finds fault with what no command takes', async () => {
    const wrong = [
      'archiver pull --alow-large',
      'notify --retry 2 -- agent-git --jason',
      'archiver show',
      'garner docter',
    ];
    expect(await problemsOf(wrong.flatMap(simpleCommands))).toHaveLength(wrong.length);
  });

  it('of all blocks are such as garner takes', async () => {
    const commands = BLOCKS.flatMap(commandsOf);
    expect(commands.length).toBeGreaterThan(100);
    expect(await problemsOf(commands)).toEqual([]);
  });

  it('in running text are such as garner takes', async () => {
    const names = commandNames().join('|');
    const spans = PAGES.filter(({ path }) => !path.endsWith('decisions.md')).flatMap(({ text }) =>
      [...text.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(
        ([, span]) => span as string,
      ),
    );
    const commands = spans.filter((span) => new RegExp(`^(${names}) [^=]+`).test(span));
    expect(commands.length).toBeGreaterThan(50);
    const problems = await problemsOf(
      commands.flatMap((command) => simpleCommands(command.replace(/[[\]<>]/g, ''))),
    );
    // a verb may be named without what it is about
    expect(problems.filter((problem) => !problem.includes('missing required argument'))).toEqual([]);
  });

  it('are shell that can be read', async () => {
    const functions = of('sh').map(({ content }, index) => `block${index}() {\n${content}}\n`);
    const { stderr } = await execa('bash', ['-n'], { input: functions.join(''), reject: false });
    expect(stderr).toBe('');
  });

  it('are run by a test, or it is said why not', () => {
    const shell = BLOCKS.filter(({ language }) => SHELL.includes(language));
    expect(shell.filter((block) => !isIn(RUN, block) && !isIn(NOT_RUN, block)).map(named)).toEqual([]);
    const gone = [...RUN, ...NOT_RUN].filter((row) => !shell.some((block) => isIn([row], block)));
    expect(gone).toEqual([]);
    for (const [page, begins, test] of RUN)
      expect([begins, readFileSync(join(ROOT, test), 'utf8').includes(basename(page))]).toEqual([
        begins,
        true,
      ]);
  });
});

it('every block says what it is', () => {
  expect(BLOCKS.filter(({ language }) => !LANGUAGES.includes(language)).map(named)).toEqual([]);
});

it('settings in the pages are known, and could be read from a file', async () => {
  const known = await knownSettings();
  for (const block of of('env')) {
    parseEnvLines(named(block), block.content, (name) => {
      const setting = known[name.replace(/_FILE$/, '')] ?? known[name];
      expect([named(block), name, setting !== undefined]).toEqual([named(block), name, true]);
    });
  }
});

it('settings that take the place of others are known', async () => {
  const known = await knownSettings();
  const page = PAGES.find(({ path }) => path === 'docs/moving-over.md')?.text ?? '';
  const rows = [...page.matchAll(/^\| (.+) \|$/gm)].map(([, row]) => (row as string).split(/(?<!\\) \| /));
  const named = rows.flatMap((cells) => cells.at(-1)?.match(/(?<=`)[A-Z]+(_[A-Z]+)+(?=[`=])/g) ?? []);
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => !(name.replace(/_FILE$/, '') in known) && !(name in known))).toEqual([]);
});

it('configuration in the pages is such as garner takes', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'garner-docs-'));
  try {
    for (const block of of('yaml')) {
      const file = join(directory, 'file.yaml');
      const text = block.content.replaceAll('SHA256:…', `SHA256:${'A'.repeat(43)}`);
      writeFileSync(file, text, { mode: 0o600 });
      const problem = await readYaml(file, text).then(
        () => undefined,
        (error) => error.message,
      );
      expect([named(block), problem]).toEqual([named(block), undefined]);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

async function readYaml(file: string, text: string): Promise<unknown> {
  if (/^(before|after|always):/m.test(text)) return readHooksFile(file);
  if (/^operations:/m.test(text)) return readOperations(file, []);
  if (/^sets:/m.test(text)) return readBucketConfiguration(file);
  if (/^all:/m.test(text)) return parse(text); // an inventory of Ansible
  return configurationSchema.parse(parse(text, { uniqueKeys: true }));
}

it('keys of hooks and operations are those that are read', () => {
  const keysOf = (path: string, head: string): string[] => {
    const text = PAGES.find((page) => page.path === path)?.text ?? '';
    const [, rows = ''] = text.split(`| ${head} |`);
    return [...(rows.split('\n\n')[0] as string).matchAll(/^\| `(\w+)` /gm)].map(([, key]) => key as string);
  };
  expect(keysOf('docs/hooks.md', 'key').sort()).toEqual(Object.keys(withUndo.shape).sort());
  expect(keysOf('docs/operations.md', 'YAML').sort()).toEqual(Object.keys(operationSchema.shape).sort());
});

it('links lead to pages and headings that there are', () => {
  const anchors = new Map(PAGES.map(({ path, text }) => [path, anchorsOf(text)]));
  const broken = PAGES.flatMap(({ path, text }) =>
    [...text.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]+))?\)/g)]
      .filter(([, file = '', anchor]) => {
        const target = file === '' ? path : join(dirname(path), file);
        if (!existsSync(join(ROOT, target))) return true;
        return anchor !== undefined && anchors.has(target) && !anchors.get(target)?.has(anchor);
      })
      .map(([link]) => `${path}: ${link}`),
  );
  expect(broken).toEqual([]);
});

/** @returns the names that GitHub gives to headings */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading as string);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
