// docs/buckets.md: a restoration point is read by hand as it says.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { writePoint } from '../../bucket/points.ts';
import { blockOf } from './pages.ts';

it('shows how a restoration point is read by hand', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'garner-point-'));
  try {
    const point = {
      name: '20261121021500+0000UTC',
      time: new Date('2026-11-21T02:15:00Z'),
      bucket: 'replica',
    };
    async function* versions() {
      for (const key of ['a/1.jpg', 'ä "b".jpg'])
        yield { key, versionId: `v-${key}`, sizeBytes: 1, modified: '2026-11-20T00:00:00Z' };
    }
    await writePoint(directory, { ...point, compress: true }, versions(), new AbortController().signal);
    const { stdout } = await execa('bash', ['-euo', 'pipefail', '-c', blockOf('docs/buckets.md', 'zcat')], {
      cwd: directory,
    });
    const [first, second, digest = ''] = stdout.split('\n');
    expect([first, second]).toEqual(['a/1.jpg\tv-a/1.jpg', 'ä "b".jpg\tv-ä "b".jpg']);
    const last = await execa('sh', ['-c', 'zcat *.Z | tail -n 1'], { cwd: directory });
    expect(last.stdout).toContain(`"Sha256":"${digest.slice(0, 64)}"`);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
