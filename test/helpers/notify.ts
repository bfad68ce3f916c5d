// Runs `notify` as a process of its own, with settings and directories of its own, and reads the mail that it wrote.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type Options, type ResultPromise } from 'execa';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { loadNotifySettings, NOTIFY_SETTINGS, type NotifySettings } from '../../notifier/settings.ts';
import { type ParsedMail, parseMail } from './mail.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
/** Halves the start, as it does for those who call bin/notify. */
const COMPILED = join(import.meta.dirname, '../../.compiled');

export interface Host extends Disposable {
  /** A directory of its own. */
  root: string;
  env: Record<string, string>;
  /** Writes an executable script. @returns its path */
  script(name: string, content: string): string;
  /** Starts `notify` with the arguments; nothing of the test's own environment but PATH reaches it. */
  notify(args: string[], options?: Options): ResultPromise<{ reject: false }>;
  /** The mail that `sendmail` got last. */
  mail(): ParsedMail;
  /** Whether there was any. */
  gotMail(): boolean;
  /** The files in the queue. */
  queue(): string[];
}

/** Makes a host whose sendmail keeps the mail as a file. @param env more settings, or others */
export function makeHost(env: Record<string, string> = {}): Host {
  const root = mkdtempSync(join(tmpdir(), 'garner-notify-'));
  const at = (name: string): string => join(root, name);
  const script = (name: string, content: string): string => {
    writeFileSync(at(name), content);
    chmodSync(at(name), 0o755);
    return at(name);
  };
  mkdirSync(at('etc'));
  const all: Record<string, string> = {
    PATH: process.env.PATH ?? '',
    TMPDIR: root,
    GARNER_CONFIG_DIR: at('etc'),
    GARNER_STATE_DIR: at('state'),
    GARNER_RUN_DIR: at('run'),
    GARNER_WORK_DIR: at('work'),
    GARNER_HOST: 'web1.example.test',
    NOTIFY_EMAIL_TO: 'root@example.test',
    NOTIFY_SENDMAIL: script('sendmail', '#!/bin/sh\ncat > "$MAILFILE"\n'),
    MAILFILE: at('mail'),
    ...env,
  };
  return {
    root,
    env: all,
    script,
    notify: (args, options = {}) =>
      execa(process.execPath, [MAIN, 'notify', ...args], {
        env: { ...all, NODE_COMPILE_CACHE: COMPILED },
        extendEnv: false,
        reject: false,
        forceKillAfterDelay: false,
        ...options,
      }) as unknown as ResultPromise<{ reject: false }>,
    mail: () => parseMail(readFileSync(at('mail'), 'utf8')),
    gotMail: () => existsSync(at('mail')),
    queue: () => (existsSync(at('state/queue')) ? readdirSync(at('state/queue')).sort() : []),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Loads what notify goes by for a test in this process, with directories of its own. @param env more settings */
export function loadNotify(root: string, env: Record<string, string>): NotifySettings {
  const own = {
    GARNER_CONFIG_DIR: join(root, 'etc'),
    GARNER_STATE_DIR: join(root, 'state'),
    GARNER_RUN_DIR: join(root, 'run'),
    GARNER_WORK_DIR: join(root, 'work'),
    GARNER_HOST: 'web1.example.test',
  };
  return loadNotifySettings({ known: { ...CORE_SETTINGS, ...NOTIFY_SETTINGS }, env: { ...own, ...env } });
}

/** Makes an archive with its checksum file. @returns its path */
export async function makeArchive(directory: string, content = 'an archive\n'): Promise<string> {
  const name = 'fake-web1.example.test-20260101T000000Z.tar';
  writeFileSync(join(directory, name), content);
  const { stdout } = await execa('sha256sum', [name], { cwd: directory });
  writeFileSync(join(directory, `${name}.sha256`), `${stdout}\n`);
  return join(directory, name);
}
