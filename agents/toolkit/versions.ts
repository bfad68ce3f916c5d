// Versions of applications, asked for and compared: 1.39.17, 8.8.0-m01, 1.40.0-rc.1.
import type { AgentContext, AgentDefinition } from './define-agent.ts';

/**
 * @returns the version of the application on this host: one word
 * @throws where the agent finds none
 */
export async function readVersion(agent: AgentDefinition, context: AgentContext): Promise<string> {
  const version = (await agent.version(context)).trim();
  if (/^[\x21-\x7e]{1,100}$/.test(version)) return version;
  throw new Error('what was found is no version');
}

/**
 * @returns negative, zero or positive as `a` is lower than, equal to or higher than `b`; undefined where one of them
 *   is no version
 */
export function compareVersions(a: string, b: string): number | undefined {
  const split = (version: string): { numbers: number[]; suffix: string } | undefined => {
    const match = /^v?(\d+(?:\.\d+)*)(.*)$/.exec(version);
    return match === null
      ? undefined
      : { numbers: (match[1] as string).split('.').map(Number), suffix: match[2] as string };
  };
  const left = split(a);
  const right = split(b);
  if (left === undefined || right === undefined) return undefined;
  for (let i = 0; i < Math.max(left.numbers.length, right.numbers.length); i++) {
    const difference = (left.numbers[i] ?? 0) - (right.numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  // a pre-release comes before its release; other suffixes say nothing about the order
  const preRelease = (suffix: string): boolean => /^[-.]?(a|alpha|b|beta|m|rc|pre|dev)/i.test(suffix);
  return Number(preRelease(right.suffix)) - Number(preRelease(left.suffix));
}
