// GitLab (Omnibus package): the backup that GitLab's own `gitlab-backup create` makes of its database, repositories and
// files, and what that leaves out: /etc/gitlab with gitlab.rb and gitlab-secrets.json. GitLab's tar is removed once it is in
// the archive.
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { capture, captureOk, describeExit } from '../lib/process.ts';
import { findProgram } from '../lib/program.ts';
import { boolean, list, oneOf, path, text } from '../lib/settings.ts';
import { formatSize, shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type Withheld } from './toolkit/define-agent.ts';

/** The parts that GitLab can skip. Without `tar` there would be no file to archive. */
const skipped = (value: string): string[] => {
  const parts = list(value);
  if (parts.includes('tar')) throw '`tar` can not be skipped: it is what is archived';
  const odd = parts.find((part) => !/^[a-z_]+$/.test(part));
  if (odd !== undefined) throw 'the parts are words such as registry,artifacts';
  return parts;
};

const SETTINGS = {
  GITLAB_CONFIG_DIR: { parse: path, default: '/etc/gitlab', describe: 'where gitlab.rb is' },
  GITLAB_DIR: { parse: path, default: '/opt/gitlab', describe: 'where GitLab is installed: its version' },
  GITLAB_BACKUP_DIR: {
    parse: path,
    default: '/var/opt/gitlab/backups',
    describe: "where GitLab puts its backups: gitlab.rb's backup_path",
  },
  GITLAB_BACKUP_PROGRAM: {
    parse: text,
    default: 'gitlab-backup',
    describe: "GitLab's own backup program",
  },
  GITLAB_BACKUP_SKIP: {
    parse: skipped,
    describe: 'what GitLab leaves out of its backup: registry,artifacts,packages,…; named as withheld',
  },
  GITLAB_BACKUP_STRATEGY: {
    parse: oneOf('stream', 'copy'),
    default: 'stream',
    describe: '`copy`: GitLab copies its files before it packs them, for busy servers; takes the space twice',
  },
  GITLAB_SECRETS: {
    parse: boolean,
    default: 'true',
    describe: 'whether gitlab-secrets.json is in the archive; false: it is named as withheld',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

/** What GitLab is told to call the backup: one that an ended run has left is found, and replaced. */
const BACKUP = 'garner';
const TAR = `${BACKUP}_gitlab_backup.tar`;
const SECRETS = 'gitlab-secrets.json';

const tarOf = ({ settings }: Context): string => join(settings.GITLAB_BACKUP_DIR, TAR);

async function makeBackup(context: Context): Promise<void> {
  const { settings, signal } = context;
  const { GITLAB_BACKUP_PROGRAM: program, GITLAB_BACKUP_SKIP: skip = [] } = settings;
  const tar = tarOf(context);
  rmSync(tar, { force: true });
  const args = [
    ...['create', `BACKUP=${BACKUP}`, 'CRON=1'],
    ...(settings.GITLAB_BACKUP_STRATEGY === 'copy' ? ['STRATEGY=copy'] : []),
    ...(skip.length > 0 ? [`SKIP=${skip.join(',')}`] : []),
  ];
  const file = program.includes('/') ? program : findProgram([program], 'gitlab-ee (or gitlab-ce)');
  info(`${[program, ...args].join(' ')}`);
  const ended = await capture({ file, args }, { signal });
  if (ended.code !== 0) throw cannot('program-failed', 'back up GitLab by', program, describeExit(ended));
  const stat = statSync(tar, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw cannot('program-failed', 'find the backup of GitLab', tar, `${program} has left no such file`, {
      hint: "set GITLAB_BACKUP_DIR to gitlab.rb's backup_path",
    });
  }
  // it seeks from member to member, and finds an end that is cut off
  const names = await captureOk(
    { file: findProgram(['tar'], 'tar'), args: ['--list', `--file=${tar}`] },
    { signal },
  );
  if (!/^(\.\/)?backup_information\.yml$/m.test(names)) {
    throw cannot('program-failed', 'back up GitLab by', program, `${TAR} has no backup_information.yml`);
  }
  info(`${tar}: ${formatSize(stat.size)}`);
}

export default defineAgent({
  application: 'gitlab',
  title: 'GitLab',
  testedWith: 'an executable that behaves as the documentation of `gitlab-backup` says',
  settings: SETTINGS,
  exactVersion: true,

  /** With the edition: an archive of one is none for the other. */
  version({ settings, view }) {
    const version = view.readText(join(settings.GITLAB_DIR, 'embedded/service/gitlab-rails/VERSION')).trim();
    return /-(ce|ee)$/.test(version) ? version : `${version}-ce`;
  },

  databases: () => [],

  trees: ({ settings, view }) => [
    { name: 'backup', root: view.resolve(settings.GITLAB_BACKUP_DIR), includes: [TAR] },
    {
      name: 'settings',
      root: view.resolve(settings.GITLAB_CONFIG_DIR),
      excludes: ['config_backup', ...(settings.GITLAB_SECRETS ? [] : [SECRETS])],
    },
  ],

  product: {
    make: makeBackup,
    async discard(context) {
      rmSync(tarOf(context));
    },
  },

  withheld({ settings }): Withheld[] {
    const file = join(settings.GITLAB_CONFIG_DIR, SECRETS);
    const secrets = {
      what: SECRETS,
      remedy: `keep a copy of ${file} elsewhere: without it two-factor logins, CI variables and tokens are lost`,
    };
    const parts = (settings.GITLAB_BACKUP_SKIP ?? []).filter((part) => part !== 'remote');
    return [
      ...(settings.GITLAB_SECRETS ? [] : [secrets]),
      ...parts.map((part) => ({
        what: `${part}, which GITLAB_BACKUP_SKIP names`,
        remedy: 'back it up in another way, or take it out of GITLAB_BACKUP_SKIP',
      })),
    ];
  },

  nextSteps: (context) => [
    `chown git:git ${shellWord(tarOf(context))}`,
    'gitlab-ctl reconfigure',
    'gitlab-ctl stop puma && gitlab-ctl stop sidekiq',
    `gitlab-backup restore BACKUP=${BACKUP}`,
    'gitlab-ctl reconfigure && gitlab-ctl restart',
    'gitlab-rake gitlab:check SANITIZE=true && gitlab-rake gitlab:doctor:secrets',
    `rm ${shellWord(tarOf(context))}`,
  ],
});
