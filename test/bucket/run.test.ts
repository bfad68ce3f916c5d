import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readBucketConfiguration } from '../../bucket/configuration.ts';
import { withSet } from '../../bucket/run.ts';
import type { Setup } from '../../bucket/setup.ts';

it('uses no directory of points that anybody may write to: what lies there says what is removed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'garner-points-'));
  try {
    const [points, file] = [join(directory, 'points'), join(directory, 'buckets.yaml')];
    writeFileSync(file, `sets:\n  a: {points: ${points}, master: {bucket: one}, replica: {bucket: two}}\n`);
    const configuration = readBucketConfiguration(file);
    const settings = { GARNER_RUN_DIR: join(directory, 'run'), GARNER_TIMEOUT: 60_000 };
    const [set] = configuration.sets as [(typeof configuration.sets)[0]];
    const use = (alone: boolean): Promise<string> =>
      withSet({ configuration, settings } as Setup, set, 'test', { alone }, async () => 'used');
    expect(await use(true)).toBe('used'); // the lock has made it
    const refused = (cause: RegExp) => ({
      code: 'configuration-permissions',
      message: expect.stringMatching(cause),
    });
    for (const mode of [0o777, 0o1777]) {
      chmodSync(points, mode);
      for (const alone of [true, false])
        await expect(use(alone)).rejects.toMatchObject(refused(/others can write into it/));
    }
    chmodSync(points, 0o775);
    expect(await use(false)).toBe('used');
    if (process.getuid?.() !== 0) return;
    rmSync(points, { recursive: true });
    mkdirSync(points);
    chownSync(points, 65534, 65534);
    await expect(use(true)).rejects.toMatchObject(refused(/owned by user 65534/));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
