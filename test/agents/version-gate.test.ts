// A restore into an application that is older than the archive is refused: by its version, and by its build or schema where
// the versions are the same, or one of them is unknown.
import { expect, it } from 'vitest';
import type { AgentContext, AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import { checkVersion } from '../../agents/toolkit/restore-plan.ts';
import type { Manifest } from '../../archive/manifest.ts';

const GATE = 'version-gate';
const NO_BUILD = (): string => {
  throw new Error('no such file');
};

async function gate(
  here: { version: string; build?: string | (() => string) },
  archived: { version: string; build?: string },
  force = false,
): Promise<string> {
  const { version, build } = here;
  const agent = {
    title: 'Wiki',
    version: () => version,
    ...(build !== undefined && { build: typeof build === 'function' ? build : () => build }),
  } as unknown as AgentDefinition;
  const options = { file: '/x/wiki.tar', only: undefined, to: undefined, dryRun: false, force };
  try {
    await checkVersion(agent, archived as Manifest, options, {} as AgentContext);
    return 'restored';
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    return [code, message, hint].join(' | ');
  }
}

it.each([
  ['an older version', { version: '1.39.1', build: '9' }, { version: '1.39.2', build: '8' }, GATE],
  ['the same', { version: '1.39.2', build: '9' }, { version: '1.39.2', build: '9' }, 'restored'],
  ['a newer build', { version: '7.1', build: '8804' }, { version: '7.1', build: '8803' }, 'restored'],
  ['an older build', { version: '7.1', build: '999' }, { version: '7.1', build: '8804' }, GATE],
  [
    'an older build, the archive of an unknown version',
    { version: '7.1', build: '1' },
    { version: 'unknown', build: '2' },
    GATE,
  ],
  [
    'a newer version with an older build',
    { version: '8.0', build: '1' },
    { version: '7.1', build: '2' },
    'restored',
  ],
  [
    'no build that can be told',
    { version: '7.1', build: NO_BUILD },
    { version: '7.1', build: '2' },
    'restored',
  ],
  ['no build in the archive', { version: '7.1', build: '1' }, { version: '7.1' }, 'restored'],
])('%s here: %j, %j', async (_, here, archived, outcome) => {
  expect((await gate(here, archived)).split(' | ')[0]).toBe(outcome);
  expect(await gate(here, archived, true)).toBe('restored');
});

it('says both builds, and what to install', async () => {
  expect(await gate({ version: '7.1', build: '1' }, { version: '7.1', build: '2' })).toBe(
    'version-gate | cannot restore "wiki.tar": Wiki 7.1 here is of build 1, the archive is of 2 | install Wiki of build 2 first, or use --force',
  );
});
