import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfiguration, recordHostKey, selectHosts } from '../../archiver/configuration.ts';
import { GarnerError } from '../../lib/errors.ts';
import { redact } from '../../lib/redact.ts';

const dir = mkdtempSync(join(tmpdir(), 'garner-configuration-'));
afterAll(() => rmSync(dir, { recursive: true }));

const EXAMPLE = `# archives of the shop
archive: /srv/garner                       # a path
catalog: /srv/garner/.catalog/catalog.sqlite
parallel: 20
retention: {last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 0, within: 0d, minimum: 2}
hosts:
  web1:                                    # the shop
    url: sftp://garner-pull@10.0.0.5:22/work
    identityFile: /etc/garner/id_ed25519
    hostKeys: ["SHA256:${'a'.repeat(43)}"]
    applications: [mediawiki]
    remove: true
    transfers: 8
    bandwidth: {limit: 2MB/s, "08:00-18:00": 500kB/s}
    expect: {mediawiki: 1d}
  local: {url: "file:///var/lib/garner/work"}
`;

function write(content: string, mode = 0o600): string {
  const file = join(dir, 'archiver.yaml');
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

function refusal(content: string, mode?: number): GarnerError {
  try {
    readConfiguration(write(content, mode));
  } catch (error) {
    if (error instanceof GarnerError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('archiver.yaml', () => {
  test('is read as the contract shows it', () => {
    const configuration = readConfiguration(write(EXAMPLE, 0o644));
    expect(configuration).toMatchObject({
      root: '/srv/garner',
      catalog: '/srv/garner/.catalog/catalog.sqlite',
      parallel: 20,
      retention: { last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 0, within: 0, minimum: 2, hourly: 0 },
    });
    expect(configuration.hosts).toEqual([
      {
        name: 'web1',
        url: 'sftp://garner-pull@10.0.0.5:22/work',
        identityFile: '/etc/garner/id_ed25519',
        hostKeys: [`SHA256:${'a'.repeat(43)}`],
        applications: ['mediawiki'],
        remove: true,
        transfers: 8,
        bandwidth: { limit: 2e6, hours: [{ fromMinute: 480, toMinute: 1080, limit: 500_000 }] },
        expect: { mediawiki: 86_400_000 },
        quotaBytes: undefined,
      },
      {
        name: 'local',
        url: 'file:///var/lib/garner/work',
        identityFile: undefined,
        hostKeys: [],
        applications: undefined,
        remove: false,
        transfers: 4,
        bandwidth: undefined,
        expect: {},
        quotaBytes: undefined,
      },
    ]);
  });

  test('removes nothing at a source and prunes nothing unless told to', () => {
    const configuration = readConfiguration(write('archive: file:///a\nhosts:\n  h: {url: "file:///w"}\n'));
    expect(configuration).toMatchObject({
      root: '/a',
      catalog: '/a/.catalog/catalog.sqlite',
      retention: undefined,
    });
    expect(configuration.hosts[0]?.remove).toBe(false);
  });

  test('F61 may begin with a byte order mark and have the line ends of Windows', () => {
    const configuration = readConfiguration(write(`\uFEFF${EXAMPLE.replaceAll('\n', '\r\n')}`));
    expect(configuration.hosts.map(({ name }) => name)).toEqual(['web1', 'local']);
  });

  test.each([
    ['F45 minimum 0', 'minimum: 2', 'minimum: 0', 'retention.minimum: it must be at least 1'],
    ['F45 a negative count', 'daily: 7', 'daily: -7', 'retention.daily: it is negative'],
    ['F45 an unknown rule', 'daily: 7', 'dayly: 7', 'retention.dayly: unknown key'],
    ['F45 a wrong unit', 'within: 0d', 'within: 3 days', 'retention.within: "3 days" is no duration'],
    ['F45 a number without unit', 'within: 0d', 'within: 30', 'retention.within: it is no duration'],
    ['F45 a policy that keeps nothing', /\{last.*\}/, '{last: 0, minimum: 2}', 'retention: it keeps nothing'],
    ['F61 an unknown key of a host', 'remove:', 'delete:', 'hosts.web1.delete: unknown key'],
    ['F61 an unknown key at the top', 'parallel:', 'paralel:', 'paralel: unknown key'],
    ['F61 a key given twice', 'parallel: 20', 'parallel: 20\nparallel: 30', 'Map keys must be unique'],
    [
      'a word that is neither true nor false',
      'remove: true',
      'remove: yes',
      'hosts.web1.remove: it must be boolean',
    ],
    [
      'a quota without unit',
      'remove: true',
      'remove: true\n    quota: 50',
      'hosts.web1.quota: it is no size',
    ],
    ['a quota of another unit', 'remove: true', 'quota: 50 gigs', 'hosts.web1.quota: "50 gigs" is no size'],
    ['no rate of bandwidth', '2MB/s', '2 MBit', 'hosts.web1.bandwidth: "2 MBit" is no rate'],
    ['hours that are none', '08:00-18:00', '8-18', 'hosts.web1.bandwidth: "8-18" is neither limit'],
    ['no transfers', 'transfers: 8', 'transfers: 0', 'hosts.web1.transfers: '],
    ['a host without URL', 'url: sftp', 'hurl: sftp', 'hosts.web1.url: it is missing'],
    ['a host name with a slash', 'web1:', '../web1:', 'hosts.../web1: a host name has'],
    [
      'an archive in an object storage',
      '/srv/garner  ',
      's3://bucket',
      'archive: archives are verified where',
    ],
    ['a relative archive', '/srv/garner  ', 'srv/garner', 'archive: it is no absolute path'],
    ['a source of another kind', 'sftp:', 'ftp:', 'hosts.web1.url: only sftp://, s3:// and file://'],
    ['a fingerprint of another kind', 'SHA256:', 'MD5:', 'hosts.web1.hostKeys.0: it is no fingerprint'],
    [
      'an application that is none',
      '[mediawiki]',
      '["../x"]',
      'hosts.web1.applications.0: it is no application',
    ],
    ['text that is no YAML', 'hosts:', 'hosts: [', 'line '],
  ])('%s: refused, naming file and key', (_, from, to, message) => {
    const error = refusal(EXAMPLE.replace(from, to));
    expect(error).toMatchObject({ code: 'configuration', exitCode: 2 });
    expect(error.message).toContain(`"${join(dir, 'archiver.yaml')}"`);
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  });

  test('F61 is refused where it holds a password and others can read it, and the password is never shown', () => {
    const content = EXAMPLE.replace('garner-pull@', 'garner-pull:s3cretly@');
    const error = refusal(content, 0o644);
    expect(error).toMatchObject({
      code: 'configuration-permissions',
      hint: expect.stringContaining('chmod 600'),
    });
    expect(readConfiguration(write(content, 0o600)).hosts[0]?.url).toContain('s3cretly');
    expect(redact('sftp://garner-pull:s3cretly@10.0.0.5')).not.toContain('s3cretly');
  });

  test('F61 is refused where others can change it', () => {
    expect(refusal(EXAMPLE, 0o666)).toMatchObject({ code: 'configuration-permissions' });
  });

  test('missing, it is named', () => {
    expect(() => readConfiguration(join(dir, 'none.yaml'))).toThrow(
      /cannot read ".*none\.yaml": no such file/,
    );
  });

  test('a host on the command line that is not in it is an error', () => {
    const configuration = readConfiguration(write(EXAMPLE));
    expect(selectHosts(configuration, []).length).toBe(2);
    expect(selectHosts(configuration, ['local']).map(({ name }) => name)).toEqual(['local']);
    expect(() => selectHosts(configuration, ['web2'])).toThrow(expect.objectContaining({ exitCode: 2 }));
  });

  test('a host key is added without touching anything else in it', () => {
    const file = write(EXAMPLE.replace(/ {4}hostKeys.*\n/, ''), 0o640);
    const fingerprint = `SHA256:${'b'.repeat(43)}`;
    recordHostKey(file, 'web1', fingerprint);
    expect(readConfiguration(file).hosts[0]?.hostKeys).toEqual([fingerprint]);
    const content = readFileSync(file, 'utf8');
    expect(content).toContain('# archives of the shop');
    expect(content).toContain('# the shop');
    expect(statSync(file).mode & 0o777).toBe(0o640);
  });
});
