// `garner`: looks at agents, archives and configuration, and runs any other command by its name.
import type { AgentDefinition } from '../agents/toolkit/define-agent.ts';
import { type CommandMain, declareProgram, exampleText, runProgram } from '../lib/command-line.ts';
import { EXIT } from '../lib/errors.ts';
import { loadModule, moduleNames } from '../lib/modules.ts';
import { configDirectory } from '../lib/settings.ts';
import { archiveCommands } from './archive.ts';
import { findCommand } from './commands.ts';
import { checkConfiguration } from './config-check.ts';
import { declareDoctor } from './doctor/command.ts';
import { declareInit } from './init/command.ts';

export const main: CommandMain = async (args, context) => {
  const [first = ''] = args;
  const other = first === 'garner' || first.startsWith('-') ? undefined : await findCommand(first);
  if (other !== undefined) return other(args.slice(1), { ...context, program: first });

  const program = declareProgram(
    'garner',
    'Backs up application data of many hosts and proves that it can be restored. Runs any of its commands too.',
    'garner init\ngarner doctor\ngarner agents\ngarner archive show /var/lib/garner/work/<archive>.tar\ngarner notify -- agent-mediawiki',
  );
  program
    .command('agents')
    .description('list the applications that garner knows')
    .option('--json', 'print one JSON object')
    .addHelpText('after', exampleText('garner agents --json'))
    .action(async ({ json }: { json?: boolean }) => {
      const agents = await Promise.all(
        moduleNames('agents').map(async (name) => {
          const { application, title, settings } = await loadModule<AgentDefinition>('agents', name);
          return { application, title, command: `agent-${application}`, settings: Object.keys(settings) };
        }),
      );
      if (json) process.stdout.write(`${JSON.stringify({ agents })}\n`);
      else {
        for (const { command, title, settings } of agents) {
          process.stdout.write(
            `${command.padEnd(20)} ${title}${settings.length > 0 ? ` (${settings.join(', ')})` : ''}\n`,
          );
        }
      }
    });
  archiveCommands(program, context);
  program
    .command('config')
    .description('look at the configuration')
    .addHelpText('after', exampleText('garner config check'))
    .command('check')
    .description('read every configuration file and say what is wrong with it')
    .addHelpText('after', exampleText('garner config check'))
    .action(async () => {
      const files = await checkConfiguration();
      for (const { file, problem } of files) process.stdout.write(`${problem ?? `${file}: good`}\n`);
      if (files.length === 0) process.stdout.write(`no configuration file in ${configDirectory()}\n`);
      process.exitCode = files.some(({ problem }) => problem !== undefined) ? EXIT.usage.code : EXIT.ok.code;
    });
  declareInit(program, context);
  declareDoctor(program, context);
  return runProgram(program, args);
};
