// The programs that every backup runs, and those that settings ask for. Clients of databases are asked where the databases are.
import { GarnerError } from '../../../lib/errors.ts';
import { capture } from '../../../lib/process.ts';
import { findProgram } from '../../../lib/program.ts';
import { broken, type Check, type Finding } from '../check.ts';

export const programs: Check = {
  name: 'programs',
  limitMs: 15_000,
  async run({ agents, settings, signal }) {
    const encrypts = [settings, ...agents.map((agent) => agent.settings)].some(
      (one) => one.GARNER_AGE_RECIPIENTS,
    );
    const needed = ['tar', 'zstd', ...(encrypts ? ['age'] : [])];
    const findings: Finding[] = [];
    const versions: string[] = [];
    for (const name of needed) {
      try {
        const { code, stdout, stderr } = await capture(
          { file: findProgram([name], name), args: ['--version'] },
          { signal },
        );
        const said = `${stdout}${stderr}`;
        if (code !== 0) throw new Error(`${name} --version ends with ${code}`);
        versions.push(`${name} ${/v?(\d+\.[\w.]+)/.exec(said)?.[1] ?? '?'}`);
        if (name === 'tar' && !said.includes('GNU tar')) throw new Error('tar is not GNU tar');
      } catch (error) {
        signal.throwIfAborted();
        const remedy = `sudo apt-get install ${name}`;
        const what = error instanceof GarnerError ? error.message : (error as Error).message;
        findings.push(broken(what, 'every backup needs it', remedy));
      }
    }
    return { summary: versions.join(', '), findings };
  },
};
