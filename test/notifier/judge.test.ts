// What a run came to, where others may change the work directory while it is judged.
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { judge } from '../../notifier/judge.ts';
import { readCommand } from '../../notifier/wrapped-command.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';

it('F49 a fifo, a device or garbage without end in place of a checksum file or an archive is no backup, and nothing hangs', async () => {
  using host = makeHost();
  const { path } = await makeArchive(host.root, { host: 'web1', time: new Date() });
  const verdictOf = () =>
    judge(
      { startedAt: new Date(), durationMs: 1, exitCode: 0 },
      { stdout: `${path}\n`, stderr: '' },
      readCommand(['agent-mediawiki']),
      { warningCodes: false, timeoutMs: 0 },
    );
  expect((await verdictOf()).result).toBe('OK');
  const sidecar = `${path}.sha256`;
  const inPlaceOf: [string, () => unknown][] = [
    [sidecar, () => execa('mkfifo', [sidecar])],
    [sidecar, () => symlinkSync('/dev/zero', sidecar)],
    [sidecar, () => writeFileSync(sidecar, Buffer.alloc(1 << 20, 'a'))],
    [sidecar, () => {}],
    [path, () => execa('mkfifo', [path])],
    [path, () => symlinkSync('/dev/zero', path)],
  ];
  for (const [file, put] of inPlaceOf) {
    rmSync(file);
    await put();
    expect((await verdictOf()).result, `${put}`).toBe('FAILED');
  }
});
