import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { main } from '../../archiver/archiver.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { type TestArchiver, testArchiver } from '../helpers/archiver.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.configureHosts(['web1'], { retention: '{daily: 2, minimum: 2}' });
});
afterEach(() => archiver.remove());

/** Runs the command in this process. @returns what it prints */
async function run(...args: string[]): Promise<string> {
  let stdout = '';
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  try {
    await main([...args, '--config', archiver.configFile], { program: 'archiver', known: CORE_SETTINGS });
    return stdout;
  } finally {
    spy.mockRestore();
  }
}

describe('archiver prune --simulate', () => {
  test('needs no store', async () => {
    expect(await run('prune', '--simulate', '--years', '1', '--every', '1d', '--size', '2GB')).toMatch(
      /^age +archives +widest gap +disk\nup to 1 day +2 +1 d 0 h +4\.0 GB\nall +2 +.* 4\.0 GB\n\na backup every 1 d 0 h for 365 days: .* up to 6\.0 GB\n$/,
    );
    const json = JSON.parse(await run('prune', '--simulate', '--json'));
    expect(json).toMatchObject({ result: 'ok', days: 730, everyMs: 86_400_000, points: 2, sizeBytes: 2e9 });
  });

  test.each([
    ['--years', 'two'],
    ['--every', '0s'],
    ['--size', '5'],
  ])('refuses %s %s', async (...option) => {
    await expect(run('prune', '--simulate', ...option)).rejects.toMatchObject({ code: 'usage' });
  });
});

test('archiver prune --simulate refuses hosts: it looks at none', async () => {
  await expect(run('prune', '--simulate', 'web1')).rejects.toMatchObject({ code: 'usage' });
});

test.each([
  ['--years', ['--years', '1'], 'it is for --simulate'],
  ['--size', ['--dry-run', '--size', '2GB'], 'it is for --simulate'],
  ['--allow-large', ['--simulate', '--allow-large'], 'it does not go with --simulate'],
])('archiver prune refuses %s where it would do nothing', async (option, args, cause) => {
  await expect(run('prune', ...args)).rejects.toThrow(`cannot use option "${option}": ${cause}`);
});

test('a verb that is called wrongly names its own help', async () => {
  await expect(run('diff', 'x')).rejects.toMatchObject({
    message: `cannot run "archiver diff": missing required argument 'after'`,
    hint: 'see archiver diff --help',
  });
});

describe('archiver verify', () => {
  test.each([
    ['--rate', '50MB', 'a rate such as 50MB/s'],
    ['--rate', '0MB/s', 'a rate such as 50MB/s'],
    ['--for', '2', 'a duration such as 2h'],
    ['--limit', '5', 'a size such as 500GB'],
    ['--older-than', 'week', 'a duration such as 7d'],
  ])('refuses %s %s', async (option, value, message) => {
    await expect(run('verify', option, value)).rejects.toThrow(`use option "${option}": it needs ${message}`);
  });
});

test('archiver check prints one thing at a time', async () => {
  await expect(run('check', '--json', '--nagios')).rejects.toMatchObject({ code: 'usage' });
});
