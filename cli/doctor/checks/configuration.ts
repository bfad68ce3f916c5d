// Every configuration file is read as the command that needs it would read it; what runs commands, and who could have written
// that, too.

import { plural, shellWord } from '../../../lib/text.ts';
import { checkConfiguration } from '../../config-check.ts';
import { configuredAgents } from '../../configured-agents.ts';
import { broken, type Check, warning } from '../check.ts';

export const configuration: Check = {
  name: 'configuration',
  limitMs: 20_000,
  async run({ configDirectory }) {
    const files = await checkConfiguration();
    const findings = files.flatMap(({ file, problem }) =>
      problem === undefined
        ? []
        : [broken(problem, 'commands that read it refuse to run', remedyOf(problem, file))],
    );
    const isArchiver = files.some(({ file }) => file.endsWith('/archiver.yaml'));
    if ((await configuredAgents(configDirectory)).length === 0 && !isArchiver) {
      const what = `no application is configured in ${configDirectory}`;
      findings.push(warning(what, 'nothing of this host is backed up', 'garner init'));
    }
    return { summary: `${plural(files.length, 'file')} in ${configDirectory}`, findings };
  },
};

function remedyOf(problem: string, file: string): string {
  const command = /\(((?:chmod|chown) [\w+-]+ '[^']*')/.exec(problem)?.[1];
  return command ?? `sensible-editor ${shellWord(file)} && garner config check`;
}
