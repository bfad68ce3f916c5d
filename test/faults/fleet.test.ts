// Faults of a fleet: some hosts are down, some hang; the others must not notice, and one message must say all of it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { parseMail } from '../helpers/mail.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { startSshd } from '../helpers/sshd.ts';
import { type Hanging, startTcpFleet } from '../helpers/tcp-proxy.ts';

const BIN = join(import.meta.dirname, '../../bin');
const HOSTS = THOROUGH ? 1000 : 40;
const HANGING = THOROUGH ? 50 : 8;
const NEWS = THOROUGH ? 60 : 10;
const PLACES = THOROUGH ? 20 : 4;

const CPU = `process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  require('node:fs').writeFileSync(process.env.CPU_FILE, String((user + system) / 1000));
});`;

it(`F34 F35 pulls from all hosts that are well before those that hang are given up, and tells once (seed ${SEED})`, {
  timeout: 400_000,
}, async () => {
  const archiver = testArchiver();
  archiver.setUp();
  const sshd = await startSshd();
  using told = makeHost();
  told.script('sendmail', '#!/bin/sh\ncat > "$(mktemp "$0.mail.XXXXXX")"\n');
  const random = randomFrom(SEED);
  const hosts = Array.from({ length: HOSTS }, (_, index) => ({
    name: `web${index}`,
    address: `127.7.${index >> 8}.${index & 255}`,
  }));
  // those that hang come first: they could take all places
  const hanging = hosts.slice(0, HANGING);
  const down = hosts[HANGING + Math.floor(random() * (HOSTS - HANGING))] as (typeof hosts)[0];
  const well = hosts.filter((host) => host !== down && !hanging.includes(host));
  // what stops in the middle is given up after a minute
  const ways = (): Hanging[] => ['silent', 'slow', ...(THOROUGH ? [500 + Math.floor(random() * 2000)] : [])];
  const how = new Map(
    hanging.map(({ address }, index) => [address, ways()[index % ways().length] as Hanging]),
  );
  const listening = hosts.filter((host) => host !== down).map(({ address }) => address);
  await using fleet = await startTcpFleet(sshd.port, listening, how);
  const url = ({ name, address }: (typeof hosts)[0]): string =>
    sshd.url(archiver.workDir(name), fleet.port).replace('127.0.0.1', address);
  const configure = (these: typeof hosts): void =>
    archiver.configure(
      `parallel: ${PLACES}\nretention: {daily: 7}\nhosts:\n${these
        .map(
          (host) =>
            `  ${host.name}: {url: "${url(host)}", identityFile: ${sshd.identityFile}, hostKeys: ["${sshd.hostKeys.ed25519}"]}\n`,
        )
        .join('')}`,
    );
  configure(hosts);
  const first = well.slice(0, 3);
  const withNews = [
    ...first,
    well.at(-1),
    ...well.filter(() => random() < NEWS / well.length),
  ] as typeof hosts;
  const made = new Map<string, string>();
  for (const { name } of new Set(withNews))
    made.set(name, (await makeArchive(archiver.workDir(name), { host: name, time: daysAgo(1) })).name);

  const pull = [join(BIN, 'archiver'), 'pull', '--config', archiver.configFile];
  const { exitCode, stderr: output } = await told.notify(['--', ...pull], { timeout: 350_000 });
  const stderr = String(output);
  expect(exitCode, stderr).toBe(1);
  const lines = stderr.split('\n');
  const firstGivenUp = lines.findIndex((line) => line.includes('has not answered for'));
  expect(lines.filter((line) => line.includes('has not answered for')).length).toBeGreaterThanOrEqual(
    HANGING,
  );
  for (const [host, name] of made) {
    const at = lines.findIndex((line) => line.includes(`${host}: pulled ${name}.tar`));
    expect(at, `${host}\n${stderr}`).toBeGreaterThan(-1);
    // without places of their own, those that come next would have to wait until then
    if (first.some(({ name }) => name === host)) expect(at, `${host}\n${stderr}`).toBeLessThan(firstGivenUp);
  }
  expect(archiver.stored().filter((file) => file.endsWith('.tar')).length).toBe(made.size);

  const mails = readdirSync(told.root).filter((name) => name.startsWith('sendmail.mail.'));
  expect(mails.length).toBe(1);
  const { headers, text } = parseMail(readFileSync(join(told.root, mails[0] as string), 'utf8'));
  expect(headers.subject).toMatch(
    new RegExp(
      `FAILED archiver on .*: cannot pull from "web0, .* and ${HANGING - 4} more": ${HANGING + 1} of ${HOSTS} hosts failed, the first`,
    ),
  );
  expect(text).toMatch(new RegExp(`^${down.name} +failed .*: connection refused$`, 'm'));
  // given up at different limits, where they hang in different ways
  const alike = text.match(/^(\d+) hosts failed: the host has not answered for \d+ .*: web/gm) ?? [];
  const count = alike.reduce((sum, line) => sum + Number.parseInt(line, 10), 0);
  expect(count, text).toBeGreaterThanOrEqual(HANGING - 1);

  // what a poll without news costs the archiver, beyond what it takes to start
  writeFileSync(join(archiver.directory, 'cpu.cjs'), CPU);
  const cpuFile = join(archiver.directory, 'cpu');
  const env = { NODE_OPTIONS: `--require ${archiver.directory}/cpu.cjs`, CPU_FILE: cpuFile };
  const cpuOf = async (args: string[]): Promise<number> => {
    expect((await archiver.run(args, { env })).exitCode).toBe(0);
    return Number(readFileSync(cpuFile, 'utf8'));
  };
  configure(well);
  const idle = await cpuOf(['list', (well[0] as (typeof hosts)[0]).name]);
  const polled = await cpuOf(['pull']);
  console.info(`F35: ${((polled - idle) / well.length).toFixed(1)} ms of CPU a host for a poll without news`);
  await sshd.stop();
  archiver.remove();
});
