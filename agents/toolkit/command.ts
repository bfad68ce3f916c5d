// The command line that every agent has: backup, describe, restore.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { checkApplication, groupName } from '../../archive/name.ts';
import { openArchive } from '../../archive/read.ts';
import { leaveContainer } from '../../databases/toolkit/container.ts';
import { type CommandMain, declareProgram, exampleText, runProgram } from '../../lib/command-line.ts';
import { asGarnerError, cannot, EXIT } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { setLogFormat } from '../../lib/log.ts';
import { redact } from '../../lib/redact.ts';
import {
  CORE_SETTINGS,
  configDirectory,
  type KnownSettings,
  loadSettings,
  path,
} from '../../lib/settings.ts';
import { answerOf, failureOf, withPlaces } from './backup-answer.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { hostView } from './host-view.ts';
import type { RestoreResult } from './restore.ts';
import { withheldLines } from './withheld.ts';

export interface CommonOptions {
  instance?: string;
  config?: string;
  workDir?: string;
  json?: boolean;
}

interface RestoreCommandOptions extends CommonOptions {
  only?: string;
  to?: string;
  dryRun?: boolean;
  force?: boolean;
  jobs?: string;
}

/** Adds the options that all have. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('--instance <name>', 'which of several on this host; its file is agent-<application>.<name>.env')
    .option('--config <file>', "read this file in place of the agent's own in the configuration directory")
    .option('--work-dir <dir>', 'where archives are made (GARNER_WORK_DIR)')
    .option('--json', 'print one JSON object on stdout');
}

/** Reads the settings for one run; disposing it ends the run's time limit and its hold of the signals. */
export type Prepare = (options: CommonOptions) => AgentContext & Disposable;

/** @returns what a run of `agent-<application>` begins with */
export function prepareWith(agent: AgentDefinition, known: KnownSettings): Prepare {
  return (options) => {
    checkApplication(agent.application, options.instance);
    const settings = loadSettings(
      { ...CORE_SETTINGS, ...agent.settings },
      {
        known,
        options: { GARNER_WORK_DIR: options.workDir },
        fileOf: `agent-${groupName(agent.application, options.instance)}`,
        configFile: options.config,
      },
    );
    setLogFormat(settings.GARNER_LOG);
    const run = runSignal(`agent-${agent.application}`, settings.GARNER_TIMEOUT);
    return {
      settings,
      view: hostView(),
      signal: run.signal,
      [Symbol.dispose]() {
        leaveContainer();
        run[Symbol.dispose]();
      },
    };
  };
}

/** @returns the main function of `agent-<application>` */
export function agentMain(agent: AgentDefinition): CommandMain {
  return async (args, { known }) => {
    const name = `agent-${agent.application}`;
    const program = declareProgram(
      name,
      `Backs up ${agent.title}: its databases, files and version, into one checksummed archive.`,
      `${name}\n${name} describe\n${name} restore /var/lib/garner/work/<archive>.tar --to /tmp/look`,
    );
    const prepare = prepareWith(agent, known);

    withCommonOptions(
      program
        .command('backup', { isDefault: true })
        .description('make an archive (what happens without a command)'),
    )
      .helpOption('--help', 'print this help')
      .addHelpText('after', exampleText(`${name} backup --json`))
      .action(async (options: CommonOptions) => {
        process.exitCode = await backupAction(agent, options, prepare);
      });

    withCommonOptions(
      program.command('describe').description('show what an archive would hold, without secrets'),
    )
      .addHelpText('after', exampleText(`${name} describe`))
      .action(async (options: CommonOptions) => {
        checkInstance(agent, options);
        using context = prepare(options);
        const { describeAgent, formatDescription } = await import('./describe.ts');
        const description = await describeAgent(agent, options.instance, context).catch((caught) => {
          throw withPlaces(agent, asGarnerError(caught));
        });
        if (options.json) printJson(description);
        else printOut(redact(formatDescription(description)));
      });

    declareRestore(program, agent, prepare);
    return runProgram(program, args);
  };
}

/** Declares `restore`, which is the same for all archives. */
export function declareRestore(program: Command, agent: AgentDefinition, prepare: Prepare): void {
  const name = `agent-${agent.application}`;
  withCommonOptions(
    program
      .command('restore')
      .description('put an archive back')
      .argument('<archive>', 'the file that ends in .tar'),
  )
    .option('--only <part>', '`database` or `files`')
    .option('--to <dir>', 'put everything into this directory; nothing outside it is touched')
    .option('--dry-run', 'verify, and say what would be done')
    .option('--force', 'replace what is there, after putting it aside')
    .option('--jobs <n>', 'restore a database by several connections, where its engine can (PostgreSQL)')
    .addHelpText(
      'after',
      exampleText(
        `${name} restore /srv/<archive>.tar --dry-run\n${name} restore /srv/<archive>.tar --to /tmp/look`,
      ),
    )
    .action(async (archive: string, options: RestoreCommandOptions) => {
      process.exitCode = await restoreAction(agent, archive, options, prepare);
    });
}

export function printOut(text: string): void {
  process.stdout.write(text);
}

/** Prints one JSON object. Only text that comes from elsewhere is redacted: a password `wiki` must not spoil a path. */
export function printJson(value: object): void {
  const foreign = ['message', 'hint', 'version', 'location', 'serverVersion'];
  const safe = (key: string, item: unknown): unknown =>
    typeof item === 'string' && foreign.includes(key) ? redact(item) : item;
  printOut(`${JSON.stringify(value, safe)}\n`);
}

/**
 * An instance that nothing tells from the default one would be the default one under another name.
 * @throws configuration
 */
function checkInstance(agent: AgentDefinition, { instance, config }: CommonOptions): void {
  checkApplication(agent.application, instance);
  if (instance === undefined || config !== undefined) return;
  const file = join(configDirectory(), `agent-${groupName(agent.application, instance)}.env`);
  const own = [...Object.keys(agent.settings), 'GARNER_DATABASE_URL', 'GARNER_CONTAINER'];
  const isSet = own.some((name) => process.env[name] || process.env[`${name}_FILE`]);
  if (isSet || existsSync(file)) return;
  throw cannot('configuration', 'back up instance', instance, `there is no file ${file}`, {
    hint: 'each instance has settings of its own there; without any it would be the default installation',
  });
}

async function backupAction(
  agent: AgentDefinition,
  options: CommonOptions,
  prepare: Prepare,
): Promise<number> {
  const { instance, json } = options;
  const { backUp } = await import('./backup.ts');
  const answer = await answerOf(
    agent,
    instance,
    () => {
      checkInstance(agent, options);
      return prepare(options);
    },
    (context) => backUp(agent, instance, context),
  );
  if (json) printJson(answer.json);
  else if (answer.archive !== undefined) printOut(`${answer.archive}\n`);
  if (answer.error !== undefined) throw answer.error;
  return answer.exitCode;
}

async function restoreAction(
  agent: AgentDefinition,
  archive: string,
  options: RestoreCommandOptions,
  prepare: Prepare,
): Promise<number> {
  const { json, dryRun = false } = options;
  try {
    const { complete, withheld, nextSteps } = await restoreArchive(agent, archive, options, prepare);
    if (json) printJson({ result: complete ? 'ok' : 'warnings', dryRun, withheld, nextSteps, error: null });
    else {
      const next =
        nextSteps.length === 0 ? [] : [`Next, in ${agent.title}:`, ...nextSteps.map((step) => `  ${step}`)];
      printOut([...withheldLines(withheld), ...next].map((line) => `${line}\n`).join(''));
    }
    return complete ? EXIT.ok.code : EXIT.warnings.code;
  } catch (caught) {
    const error = asGarnerError(caught);
    const { result, ...failure } = failureOf(error);
    if (json) printJson({ result, dryRun, withheld: [], nextSteps: [], ...failure });
    throw error;
  }
}

/** @throws usage for options that make no sense; what the restore throws */
async function restoreArchive(
  agent: AgentDefinition,
  archive: string,
  options: RestoreCommandOptions,
  prepare: Prepare,
): Promise<RestoreResult> {
  const { only, to, jobs } = options;
  if (only !== undefined && only !== 'database' && only !== 'files') {
    throw cannot('usage', 'restore only', only, 'it is neither `database` nor `files`');
  }
  if (jobs !== undefined && !/^[1-9]\d?$/.test(jobs)) {
    throw cannot('usage', 'restore with --jobs', jobs, 'it is no number from 1 to 99');
  }
  if (to === '') throw cannot('usage', 'restore to', to, 'the value of --to is empty');
  for (const given of [archive, to ?? '']) {
    const scheme = /^[a-z][a-z0-9+]*:\/\//i.exec(given)?.[0];
    if (scheme === undefined) continue;
    // the rest may hold a password
    throw cannot('usage', 'restore with', `${scheme}…`, 'it is a URL, not a path', {
      hint: 'a database goes into GARNER_RESTORE_DATABASE_URL, best in a file that only you can read',
    });
  }
  const file = path(archive);
  const instance = options.instance ?? instanceOf(file);
  using context = prepare({ ...options, ...(instance !== undefined && { instance }) });
  const { restore } = await import('./restore.ts');
  const { dryRun = false, force = false } = options;
  return await restore(
    agent,
    instance,
    {
      file,
      only,
      to: to === undefined ? undefined : path(to),
      dryRun,
      force,
      jobs: jobs === undefined ? undefined : Number(jobs),
    },
    context,
  );
}

/** Whose archive it is says where it goes, unless the command line does: into another's place by mistake it must not. */
function instanceOf(file: string): string | undefined {
  using archive = openArchive(file);
  return archive.manifest.instance ?? undefined;
}
