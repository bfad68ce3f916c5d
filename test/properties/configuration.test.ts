// Configuration that somebody wrote by hand, or broke: a reader gives what its writer meant, or says where it is wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readConfiguration } from '../../archiver/configuration.ts';
import { loadSettings, type SettingTable, text } from '../../lib/settings.ts';
import { openStore } from '../../stores/open.ts';
import { holds, oddText, oddValue, printSeed, readOrRefuse, SCRATCH } from '../helpers/properties.ts';

printSeed();

const REFUSED = ['configuration'] as const;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(SCRATCH, 'garner-properties-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const write = (name: string, content: string | Uint8Array): string => {
  const file = join(directory, name);
  writeFileSync(file, content, { mode: 0o600 });
  return file;
};

const known: SettingTable = Object.fromEntries(
  ['A', 'B', 'GARNER_X'].map((name) => [name, { parse: text, describe: '' }]),
);

/** Of one line, what a value is to whoever wrote it. */
function meant(value: string): string {
  const quote = value[0] ?? '';
  if (!['"', "'", '`'].includes(quote)) return value.trim();
  const inside = value.slice(1, value.indexOf(quote, 1));
  return quote === '"' ? inside.replaceAll('\\n', '\n').replaceAll('\\r', '\r') : inside;
}

it('reads a file of settings as it is written, or says which line is wrong', async () => {
  const name = fc.constantFrom(
    'A',
    'B',
    'GARNER_X',
    'C',
    '__proto__',
    'constructor',
    'A_FILE',
    'export A',
    'a.b',
    '',
  );
  const piece = fc.constantFrom(
    ...' \t=#"\'`\\$n\r\n\u2028\0é',
    '\\n',
    "\\'",
    '\\"',
    'value',
    'B=2',
    '$A',
    '$(id)',
    '\ufeff',
  );
  const value = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
  const line = fc.oneof(
    {
      arbitrary: fc
        .tuple(name, fc.constantFrom('=', ' = ', ': ', ''))
        .chain(([n, is]) => value.map((v) => n + is + v)),
      weight: 5,
    },
    { arbitrary: oddText, weight: 1 },
  );
  let read = 0;
  await holds(
    fc.array(line, { minLength: 1, maxLength: 3 }),
    async (lines) => {
      const content = lines.join('\n');
      const configFile = write('agent.env', content);
      const env = { GARNER_CONFIG_DIR: directory };
      const values = await readOrRefuse(REFUSED, () => loadSettings(known, { known, env, configFile }));
      if (values === undefined) return;
      const expected = content
        .replace(/^\ufeff/, '')
        .split(/\r?\n/)
        .map((raw) => /^\s*(?:export\s+)?(\w+)\s*=\s*(.*)$/s.exec(raw))
        .filter((match) => match !== null && !match[0].trim().startsWith('#'))
        .map((match) => [match?.[1], meant((match?.[2] ?? '').trim())])
        .filter(([, written]) => written !== '');
      expect(values).toEqual(Object.fromEntries(expected));
      read += expected.length;
    },
    3000,
  );
  expect(read).toBeGreaterThan(0);
});

const HONEST = {
  archive: '/srv/garner',
  catalog: '/srv/garner/.catalog/catalog.sqlite',
  parallel: 20,
  retention: { last: 3, hourly: 1, daily: 7, weekly: 4, monthly: 12, yearly: 1, within: '7d', minimum: 2 },
  hosts: {
    web1: {
      url: 'sftp://garner-pull@10.0.0.5:22/work',
      identityFile: '/etc/garner/id_ed25519',
      hostKeys: [`SHA256:${'a'.repeat(43)}`],
      applications: ['mediawiki'],
      remove: true,
      expect: { mediawiki: '1d' },
    },
    local: { url: 'file:///var/lib/garner/work' },
  },
};

const oddUrl = fc.constantFrom(
  ...[
    'file:///a%2Fb',
    'file:///%00',
    'file:///%ff',
    'file://host/x',
    'file:///',
    'file:',
    'sftp://u@h/%zz',
    'sftp://u:%@h',
  ],
  ...[
    'sftp://h:99999/',
    'sftp://u@h/../..',
    'sftp://u@h/%00',
    'sftp://u@[::1]/x',
    'sftp:u',
    'http://h/',
    'FILE:///x',
    's3://b',
  ],
);

/** @returns all objects and arrays in it */
function containers(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(containers)];
}

const anyLie = fc.tuple(
  fc.nat({ max: 1000 }),
  fc.oneof(fc.nat({ max: 20 }), oddText),
  fc.oneof({ arbitrary: oddUrl, weight: 2 }, oddValue),
);

it('reads archiver.yaml as it is written, or says which key is wrong', async () => {
  let read = 0;
  await holds(
    fc.array(anyLie, { maxLength: 2 }),
    async (lies) => {
      const lying: typeof HONEST = structuredClone(HONEST);
      for (const [at, key, lie] of lies) {
        const value = structuredClone(lie); // the next may be told of it
        const all = containers(lying);
        const inside = all[at % all.length] as Record<string, unknown>;
        const keys = Object.keys(inside);
        const name = typeof key === 'number' ? (keys[key % keys.length] ?? '') : key;
        Object.defineProperty(inside, name, { value, enumerable: true, configurable: true, writable: true });
      }
      const file = write('archiver.yaml', stringify(lying));
      const configuration = await readOrRefuse(REFUSED, () => readConfiguration(file));
      if (configuration === undefined) return;
      read += 1;
      expect(configuration.hosts.map(({ name }) => name)).toEqual(Object.keys(lying.hosts));
      expect(configuration.root).toMatch(/^\/[^\0]*$/);
      for (const { name, expect: expected } of configuration.hosts) {
        const written = (lying.hosts as Record<string, { expect?: object }>)[name]?.expect ?? {};
        expect(Object.keys(expected)).toEqual(Object.keys(written));
      }
    },
    1500,
  );
  expect(read).toBeGreaterThan(0);
});

it('refuses text that is no archiver.yaml', async () => {
  const good = stringify(HONEST);
  const piece = fc.constantFrom(
    ...[
      '&a ',
      '*a',
      '<<: *a',
      '!!js/function x',
      '!!binary x',
      '? [a]\n: b',
      '---\n',
      '%YAML 9.9\n',
      '\t',
      '{',
      '[',
      '|',
      '>-',
      '\0',
      '\ufeff',
      '__proto__: 1',
      '1: 2',
      'null: 1',
      '"\\ud800"',
    ],
  );
  const changed = fc
    .array(fc.tuple(fc.nat({ max: good.length }), fc.nat({ max: 30 }), fc.oneof(piece, oddText)), {
      minLength: 1,
      maxLength: 3,
    })
    .map((steps) => steps.reduce((t, [at, cut, more]) => t.slice(0, at) + more + t.slice(at + cut), good));
  await holds(
    fc.oneof(changed, fc.uint8Array({ maxLength: 300 })),
    async (content) => {
      const file = write('archiver.yaml', content);
      await readOrRefuse(REFUSED, () => readConfiguration(file));
    },
    1500,
  );
});

it('opens a store of a URL, or says what is wrong with it', async () => {
  await holds(
    fc.oneof(
      oddUrl,
      oddText.map((part) => `file:///${part}`),
      oddText.map((part) => `sftp://${part}`),
      oddText,
    ),
    async (url) => {
      await readOrRefuse([...REFUSED, 'io'], async () => {
        await using store = await openStore(url, { signal: AbortSignal.abort() });
        await store.list('');
      });
    },
    500,
  );
});

it('refuses what would take hours or gigabytes to read', async () => {
  const large = 'x\n'.repeat(1 << 20);
  const nested = '['.repeat(100_000);
  const configFile = write('agent.env', '\n'.repeat(2 << 20));
  const env = { GARNER_CONFIG_DIR: directory };
  expect(await readOrRefuse(REFUSED, () => loadSettings(known, { known, env, configFile }))).toBeUndefined();
  for (const content of [large, nested]) {
    const file = write('archiver.yaml', `hosts: ${content}`);
    expect(await readOrRefuse(REFUSED, () => readConfiguration(file))).toBeUndefined();
  }
});
