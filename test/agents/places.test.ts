// Where an application isn't where its agent looks for it, the agent says which settings say where, and nothing passes for it.
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import bitbucket from '../../agents/bitbucket.ts';
import git from '../../agents/git.ts';
import jira from '../../agents/jira.ts';
import ldap from '../../agents/ldap.ts';
import { withPlaces } from '../../agents/toolkit/backup-answer.ts';
import type { AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import { checkRoot, emptyTrees } from '../../agents/toolkit/walk.ts';
import { cannot } from '../../lib/errors.ts';
import { agentContext } from '../helpers/agent-context.ts';
import { errorOf } from '../helpers/error-of.ts';
import { makeRepository } from '../helpers/git.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

let bench: Bench;
beforeAll(() => {
  bench = makeBench();
});
afterAll(() => bench.remove());

it('names the settings of places, and leaves every other error as it is', () => {
  const absent = join(bench.directory, 'absent');
  const missing = errorOf(() => agentContext(jira, bench).view.readText(absent));
  const told = withPlaces(jira, missing);
  expect(told).toMatchObject({ code: missing.code, message: missing.message, exitCode: 1 });
  expect(told.hint).toContain('JIRA_HOME, JIRA_INSTALL_DIR, JIRA_ATTACHMENTS_DIR');
  const noTree = errorOf(() => checkRoot({ name: 'x', root: absent }));
  expect(withPlaces(ldap, noTree).hint).toContain('set by LDAP_CONFIG:');
  const hinted = cannot('application-configuration', 'x', absent, 'no such directory', { hint: 'y' });
  const other = cannot('application-configuration', 'x', absent, 'permission denied');
  for (const error of [hinted, other]) expect(withPlaces(jira, error)).toBe(error);
});

it('git: a directory without a repository, as a disk that is not mounted leaves it, is warned of', async () => {
  const [full, empty] = ['full', 'empty'].map((name) => join(bench.directory, name)) as [string, string];
  mkdirSync(full);
  mkdirSync(empty);
  await makeRepository(full, 'a.git');
  const agent: AgentDefinition = git;
  const context = agentContext(git, bench, { GIT_ROOTS: `${full}:${empty}` });
  const warnings = await agent.examine?.(context, await agent.trees(context));
  expect(warnings).toEqual([
    { code: 'git-none', message: expect.stringContaining(`no repository below ${empty}: is its disk`) },
  ]);
});

it('Bitbucket, Stash, Trac: an empty directory that is a tree of its own is warned of', async () => {
  const [home, disk] = ['home', 'disk'].map((name) => join(bench.directory, name)) as [string, string];
  for (const directory of [join(home, 'shared/data'), disk]) mkdirSync(directory, { recursive: true });
  symlinkSync(disk, join(home, 'shared/data/repositories'));
  const agent: AgentDefinition = bitbucket;
  const context = agentContext(agent, bench, { BITBUCKET_HOME: home });
  const examine = async () => agent.examine?.(context, await agent.trees(context));
  expect(await examine()).toEqual([
    { code: 'tree-empty', message: `${disk} is empty: is its disk mounted?` },
  ]);
  mkdirSync(join(disk, '1'));
  expect(await examine()).toEqual([]);
  expect(emptyTrees([{ name: 'x', root: join(home, 'shared'), includes: ['absent'] }])).toEqual([]);
});
