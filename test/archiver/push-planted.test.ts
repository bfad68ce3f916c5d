// A target where somebody else can write: what is planted there must cost nothing here.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { readPushConfiguration } from '../../archiver/configuration.ts';
import { type PushReport, pushTo } from '../../archiver/push.ts';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

test('F39 archives planted at a target by names of the future push out nothing that has not been sent', async () => {
  const archiver = testArchiver();
  try {
    const [work, inbox] = [archiver.workDir('web1'), archiver.workDir('inbox')];
    writeFileSync(
      archiver.configFile,
      `push: {inbox: {to: "file://${inbox}", from: ${work}, remove: true, retention: {last: 2}}}\n`,
    );
    const push = (): Promise<PushReport> => {
      const configuration = readPushConfiguration(archiver.configFile, []);
      const { signal } = new AbortController();
      const [target] = configuration.targets as [(typeof configuration.targets)[0]];
      const options = { dryRun: false, allowLarge: false, init: false, signal, onBytes: () => {} };
      return pushTo(target, configuration, options);
    };
    const sent = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    expect(await push()).toMatchObject({ result: 'ok', removed: [sent.name] });
    for (const year of [2098, 2099]) {
      const file = `mediawiki-web1-${year}0101T000000Z.tar`;
      writeFileSync(join(inbox, file), '');
      writeFileSync(join(inbox, `${file}.sha256`), `${'0'.repeat(64)}  ${file}\n`);
    }
    const { name } = await makeArchive(work, { host: 'web1', time: new Date() });
    const report = await push();
    expect(report.pushed).toMatchObject([{ name }]);
    expect(existsSync(join(inbox, `${name}.tar`))).toBe(true);
    expect(report.removed).toEqual([name]);
    await execa('sha256sum', ['-c', '--strict', `${name}.tar.sha256`], { cwd: inbox });
    expect(readdirSync(work)).toEqual([]);
  } finally {
    archiver.remove();
  }
});
