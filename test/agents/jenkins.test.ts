// The jenkins agent: the contract on a home of 2.x, and homes of 1.x and 2.x in the shapes that Jenkins and its
// administrators give them. There is no Jenkins in Debian: the homes are made from its documentation.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/jenkins.ts';
import type { TreeSource, Withheld } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { walkTree } from '../../agents/toolkit/walk.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { makeBench } from '../helpers/run.ts';

const CREDENTIAL = '{AQAAABAAAAAQcanary+4711/x=}';

function put(root: string, files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}

const configXml = (version: string, more = '', xml = '1.1'): string =>
  `<?xml version='${xml}' encoding='UTF-8'?>\n<hudson>\n  <disabledAdministrativeMonitors/>\n  <version>${version}</version>\n  ${more}\n  <label>&#x1;built on Räder</label>\n</hudson>\n`.replace(
    xml === '1.0' ? '&#x1;' : '',
    '',
  );

/** What a restore has to bring back, and what Jenkins makes anew. */
const KEPT = {
  'config.xml': configXml('2.440.3'),
  'credentials.xml': `<password>${CREDENTIAL}</password>`,
  'hudson.model.UpdateCenter.xml': '<sites/>',
  'identity.key.enc': 'encrypted',
  'secret.key': '0f',
  'secret.key.not-so-secret': '',
  'secrets/hudson.util.Secret': 'encrypted with master.key',
  'users/users.xml': '<users/>',
  'users/ada_1/config.xml': '<user/>',
  'nodes/agent-1/config.xml': '<slave/>',
  'userContent/räksmörgås.txt': 'for all to see',
  'plugins/git.jpi': 'PK\u0003\u0004',
  'plugins/old-one.hpi': 'PK\u0003\u0004',
  'plugins/git.jpi.pinned': '',
  'plugins/old-one.hpi.disabled': '',
  'jobs/hello world/config.xml': '<project/>',
  'jobs/hello world/nextBuildNumber': '3',
  // a job and an artifact with the names of what is left out elsewhere
  'jobs/builds/config.xml': '<project/>',
  'jobs/folder/config.xml': '<com.cloudbees.hudson.plugins.folder.Folder/>',
  'jobs/folder/jobs/workspace/config.xml': '<project/>',
  'jobs/folder/jobs/inner/jobs/deep/config.xml': '<flow-definition/>',
  'jobs/many/branches/main.abc123/config.xml': '<flow-definition/>',
};
const IN_BUILDS = {
  'jobs/hello world/builds/1/build.xml': '<build/>',
  'jobs/hello world/builds/2/archive/workspace/result.txt': 'an artifact',
  'jobs/hello world/builds/legacyIds': '',
  'jobs/folder/jobs/inner/jobs/deep/builds/7/log': 'a log',
  'jobs/many/branches/main.abc123/builds/1/log': 'a log',
};
const MADE_ANEW = {
  'secrets/master.key': 'canary-master-key',
  'war/WEB-INF/web.xml': 'unpacked',
  'caches/git-1/HEAD': 'ref',
  'tools/maven/bin/mvn': 'a tool',
  'updates/default.json': '{}',
  'logs/all.log': 'a log',
  'workspace/hello world/checkout.c': 'code',
  'workspace@tmp/x': 'x',
  'plugins/git/WEB-INF/lib/git.jar': 'PK',
  'atomic123.tmp': 'half',
  'jobs/hello world/workspace/checkout.c': 'code',
  'jobs/folder/jobs/inner/jobs/deep/workspace@2/checkout.c': 'code',
  'jobs/many/branches/main.abc123/workspace/checkout.c': 'code',
};

function makeHome(home: string): void {
  put(home, { ...KEPT, ...IN_BUILDS, ...MADE_ANEW });
  symlinkSync('-1', join(home, 'jobs/hello world/builds/lastFailedBuild'));
  symlinkSync('2', join(home, 'jobs/hello world/builds/lastStableBuild'));
  symlinkSync('builds/lastStableBuild', join(home, 'jobs/hello world/lastStable'));
}

agentContract('jenkins', '2.440', async (directory) => {
  const home = join(directory, 'jenkins');
  makeHome(home);
  const kept = [...Object.keys({ ...KEPT, ...IN_BUILDS }), 'jobs/hello world/lastStable'];
  return {
    settings: { JENKINS_HOME: home },
    places: kept.map((file) => join(home, file)),
    members: ['home.tar', 'home.list'],
    version: /^2\.440\.3$/,
    secrets: [CREDENTIAL, 'canary-master-key'],
    treeFind: {
      home: [
        ...[home, '.', '(', '-path', './secrets/master.key', '-o', '-path', './workspace*'],
        ...['-o', '-regex', './\\(war\\|caches\\|tools\\|updates\\|logs\\|atomic123.tmp\\)'],
        ...['-o', '-path', './plugins/*/*', '-o', '-regex', './jobs/.*/workspace@2', '-o'],
        ...[
          '-path',
          './jobs/hello world/workspace',
          '-o',
          '-path',
          './jobs/many/*/workspace',
          ')',
          '-prune',
          '-o',
        ],
      ],
    },
    dumpDatabases: async () => '',
    wipe: async () => rmSync(home, { recursive: true }),
    broken: {
      settings: { JENKINS_HOME: join(directory, 'absent') },
      error: /absent\/config\.xml": no such file/,
    },
    remove: async () => {},
  };
});

it('warns of no build that is running, and of a configuration that changed while it was read', async () => {
  const bench = makeBench();
  const home = join(bench.directory, 'jenkins');
  makeHome(home);
  const says = (path: string, what: string): string => `echo 'tar: ${path}: ${what}' >&2`;
  const PATH = fakeClients(bench.directory, {
    tar: `"$REAL" "$@"
      ${says('jobs/hello world/builds/1/build.xml', 'file changed as we read it')}
      ${says('jobs/folder/jobs/inner/jobs/deep/builds/7/log', 'Cannot stat: No such file or directory')}
      ${says('jobs/builds/config.xml', 'file changed as we read it')}
      exit 2`,
  });
  const ran = await bench.run('agent-jenkins', ['--json'], { env: { JENKINS_HOME: home, PATH } });
  expect(ran).toMatchObject({ exitCode: 3 });
  const { warnings } = JSON.parse(ran.stdout);
  expect(warnings).toEqual([
    { code: 'file-changed', message: expect.stringMatching(/^1 file .*: jobs\/builds\/config\.xml$/) },
  ]);
  expect(ran.stderr).toMatch(
    /2 files of .* changed while at work: jobs\/hello world\/builds\/1\/build\.xml, jobs\/folder/,
  );
  bench.remove();
});

describe('the jenkins agent', () => {
  let directory: string;
  let home: string;
  const context = (settings: object = {}) =>
    ({
      settings: { JENKINS_HOME: home, JENKINS_BUILDS: true, ...settings },
      view: hostView(),
      signal: new AbortController().signal,
    }) as never;
  const trees = (settings?: object) => agent.trees(context(settings)) as TreeSource[];
  const filesOf = (tree: TreeSource | undefined): string[] =>
    [...walkTree(tree as TreeSource)]
      .filter(({ isDirectory }) => !isDirectory)
      .map(({ path }) => Buffer.from(path, 'latin1').toString())
      .sort();
  const withheld = (settings?: object) => agent.withheld?.(context(settings)) as Withheld[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-jenkins-'));
    home = join(directory, 'home');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('keeps all that a restore needs, also where a job or an artifact has the name of what is left out', () => {
    makeHome(home);
    const links = ['builds/lastFailedBuild', 'builds/lastStableBuild', 'lastStable'];
    expect(filesOf(trees()[0])).toEqual(
      [...Object.keys({ ...KEPT, ...IN_BUILDS }), ...links.map((name) => `jobs/hello world/${name}`)].sort(),
    );
  });

  it('follows no links that lead in a circle from job to job', () => {
    makeHome(home);
    for (const name of ['a', 'b']) {
      mkdirSync(join(home, 'jobs', name));
      symlinkSync('..', join(home, 'jobs', name, 'jobs'));
    }
    expect(filesOf(trees()[0])).toEqual(expect.arrayContaining(['jobs/a/jobs', 'jobs/b/jobs']));
  });

  it('leaves out the builds with JENKINS_BUILDS=false, keeps the next numbers, and says so', () => {
    makeHome(home);
    const without = { JENKINS_BUILDS: false };
    expect(filesOf(trees(without)[0])).toEqual(Object.keys(KEPT).sort());
    expect(withheld(without)[1]).toMatchObject({ what: 'the builds of all jobs' });
    expect(withheld()).toHaveLength(1);
  });

  it('names the key that it withholds, and what to do with it before Jenkins starts', () => {
    makeHome(home);
    expect(withheld()[0]?.what).toContain('secrets/master.key');
    expect(withheld()[0]?.remedy).toContain(join(home, 'secrets/master.key'));
    expect(agent.nextSteps?.(context())[0]).toContain(join(home, 'secrets/master.key'));
    rmSync(join(home, 'secrets/master.key'));
    expect(withheld()).toEqual([]);
  });

  it('reads a home of 1.651: XML 1.0, workspaces inside jobs, builds by date with numbers as links', () => {
    const kept = {
      'config.xml': configXml('1.651.3', `<workspaceDir>\${ITEM_ROOTDIR}/workspace</workspaceDir>`, '1.0'),
      'secret.key': '0f',
      'plugins/subversion.hpi': 'PK',
      'plugins/subversion.hpi.pinned': '',
      'jobs/maven/config.xml': '<maven2-moduleset/>',
      'jobs/maven/modules/org.example$core/config.xml': '<maven2-module/>',
      'jobs/maven/builds/2014-03-02_10-11-12/log': 'a log',
      'jobs/maven/modules/org.example$core/builds/1/log': 'a log',
    };
    put(home, {
      ...kept,
      'jobs/maven/workspace/pom.xml': '<project/>',
      'jobs/maven/modules/org.example$core/workspace/pom.xml': '<project/>',
      'plugins/subversion/META-INF/MANIFEST.MF': '',
    });
    symlinkSync('2014-03-02_10-11-12', join(home, 'jobs/maven/builds/14'));
    expect(agent.version(context())).toBe('1.651.3');
    expect(filesOf(trees()[0])).toEqual([...Object.keys(kept), 'jobs/maven/builds/14'].sort());
    expect(withheld()).toEqual([]);
  });

  it('takes jobs on another disk, and builds that config.xml puts elsewhere, as trees of their own', () => {
    makeHome(home);
    const disk = join(directory, 'disk');
    renameSync(join(home, 'jobs'), disk);
    symlinkSync(disk, join(home, 'jobs'));
    const elsewhere = join(directory, 'builds');
    mkdirSync(elsewhere);
    put(home, {
      'config.xml': configXml('2.60.1', `<buildsDir>${elsewhere}/\${ITEM_FULL_NAME}</buildsDir>`),
    });
    const [, jobs, builds, ...more] = trees();
    expect(more).toEqual([]);
    expect(jobs).toMatchObject({ name: 'jobs', root: disk });
    expect(filesOf(jobs)).not.toContain('hello world/workspace/checkout.c');
    expect(filesOf(jobs)).toContain('folder/jobs/workspace/config.xml');
    expect(builds).toMatchObject({ name: 'builds', root: elsewhere });
    expect(trees({ JENKINS_BUILDS: false }).map(({ name }) => name)).toEqual(['home', 'jobs']);
  });

  it('leaves out the places inside the home that config.xml names for workspaces, and for builds that are not kept', () => {
    put(home, {
      'config.xml': configXml(
        '2.40',
        `<workspaceDir>\${JENKINS_HOME}/ws/\${ITEM_FULL_NAME}</workspaceDir><buildsDir>\${JENKINS_HOME}/b/\${ITEM_FULL_NAME}</buildsDir>`,
      ),
      'ws/x/file': '',
      'b/x/1/log': '',
    });
    expect(filesOf(trees()[0])).toEqual(['b/x/1/log', 'config.xml']);
    expect(filesOf(trees({ JENKINS_BUILDS: false })[0])).toEqual(['config.xml']);
  });

  it('says what is wrong with config.xml, without telling what is in it', () => {
    put(home, { 'config.xml': "<?xml version='1.1'?><hudson><token>canary</hudson>" });
    expect(() => trees()).toThrow(/config\.xml": line \d+: it is no well-formed XML/);
    put(home, { 'config.xml': "<?xml version='1.1'?><hudson/>" });
    expect(() => agent.version(context())).toThrow('it has no <version>');
  });
});
