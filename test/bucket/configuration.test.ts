import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readBucketConfiguration, selectSet } from '../../bucket/configuration.ts';
import { errorOf } from '../helpers/error-of.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-buckets-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(text: string, mode = 0o600): string {
  const file = join(directory, 'configuration');
  rmSync(file, { force: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

const problemOf = (text: string, mode?: number): string => {
  const { code, message, hint } = errorOf(() => readBucketConfiguration(write(text, mode)));
  return `${code}: ${message.replace(/^cannot .* "[^"]*": /, '')}${hint?.startsWith('chmod') ? ` (${hint.split(' ').slice(0, 2).join(' ')})` : ''}`;
};

const ORIGINAL = {
  ...{ LogLevel: 1, AwsLogLevel: 0, Syslog: true },
  BackupSet: {
    ...{ SnapshotsDir: '/var/points/', CompressSnapshots: true, MinimumRedundancy: 2, RetentionPolicy: 7 },
    ...{
      MasterBucket: 'photos',
      MasterRegion: 'us-east-1',
      SlaveBucket: 'photos-replica',
      SlaveRegion: 'us-west-2',
    },
    ...{ AccessKey: 'AKIA', SecretKey: 'canary-secret' },
  },
};

it('reads a file of backup-my-bucket', () => {
  const { sets, systemLog, quiet } = readBucketConfiguration(write(JSON.stringify(ORIGINAL, null, 8)));
  expect({ systemLog, quiet }).toEqual({
    systemLog: { tag: 'backup-my-bucket', socket: '/dev/log' },
    quiet: false,
  });
  expect(sets).toEqual([
    expect.objectContaining({
      ...{ name: 'default', points: '/var/points/', compress: true, replicate: false },
      master: { bucket: 'photos', region: 'us-east-1' },
      replica: { bucket: 'photos-replica', region: 'us-west-2' },
      keys: { accessKeyId: 'AKIA', secretAccessKey: 'canary-secret' },
      retention: expect.objectContaining({ within: 7 * 86_400_000, minimum: 2, last: 2 }),
    }),
  ]);
});

it('never lets a file of the original delete the last point', () => {
  const BackupSet = { ...ORIGINAL.BackupSet, MinimumRedundancy: 0, RetentionPolicy: 0 };
  const [set] = readBucketConfiguration(write(JSON.stringify({ ...ORIGINAL, BackupSet }))).sets;
  expect(set?.retention).toMatchObject({ last: 1, within: 0, minimum: 1 });
});

it('refuses a file of the original that is misspelt, incomplete, or readable by others', () => {
  const changed = (change: object, top = {}): string =>
    JSON.stringify({ ...ORIGINAL, ...top, BackupSet: { ...ORIGINAL.BackupSet, ...change } });
  expect(problemOf(changed({}), 0o644)).toBe(
    'configuration-permissions: it holds a secret and others can read it (chmod 600)',
  );
  expect(problemOf(changed({ SnapshotDir: '/x' }))).toMatch(
    /^configuration: line 1: BackupSet.SnapshotDir: unknown key/,
  );
  expect(problemOf(changed({}, { syslog: true }))).toMatch(/syslog: unknown key/);
  expect(problemOf(changed({ MasterBucket: '' }))).toMatch(/BackupSet.MasterBucket: it is no name/);
  expect(problemOf(changed({ SlaveBucket: 'photos' }))).toMatch(/are the same/);
  expect(problemOf(changed({ AccessKey: '' }))).toMatch(/one of AccessKey and SecretKey is empty/);
  expect(problemOf(changed({ RetentionPolicy: '7' }))).toMatch(/RetentionPolicy/);
  expect(problemOf(changed({}).slice(0, -1))).toMatch(/ends too early/);
  expect(problemOf(changed({ SecretKey: 'canary-secret', RetentionPolicy: -1 }))).not.toContain('canary');
});

const set = (more = '', top = ''): string => `${top}sets:
  photos:
    points: /var/points
    master: {bucket: photos}
    replica: {bucket: photos-replica, region: eu-west-1}
${more}`;

it('reads buckets.yaml, as the documentation shows it', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/buckets.md'), 'utf8');
  const [, text = ''] = /```yaml\n# buckets\.yaml\n(.*?)```/s.exec(page) ?? [];
  const { sets, systemLog } = readBucketConfiguration(write(text));
  expect(systemLog).toBeUndefined();
  expect(sets[0]).toMatchObject({ name: 'photos', replicate: true, retention: { minimum: 2 } });
});

it('refuses a buckets.yaml that is misspelt, incomplete or ambiguous', () => {
  expect(problemOf(set('    retention: {dayly: 7}\n'))).toMatch(
    /^configuration: line 6: sets.photos.retention.dayly: unknown key/,
  );
  expect(problemOf(set('    replica: {bucket: x}\n'))).toMatch(/a key is given twice/);
  expect(problemOf(set('    endpoint: https://key:secret@s3.example.org\n'))).toMatch(
    /keys do not belong into a URL/,
  );
  expect(problemOf(set('    parallel: 0\n'))).toMatch(/parallel/);
  expect(problemOf(set('', 'syslog: local0\n'))).toMatch(/syslog: it is no absolute path/);
  expect(problemOf(set().replace('photos-replica', 'photos'))).toMatch(/it is the master itself/);
  expect(problemOf('sets: {}\n')).toMatch(/there is none/);
  expect(problemOf(set(), 0o666)).toMatch(/others can write it/);
  const second = set().replace('sets:\n', '').replace('photos:', 'more:');
  expect(problemOf(set() + second)).toMatch(/sets photos and more share \/var\/points/);
  const elsewhere = second.replace('/var/points', '/var/more');
  expect(problemOf(set() + elsewhere)).toMatch(/sets photos and more share s3:\/\/photos-replica/);
  const chained = elsewhere
    .replace('photos-replica', 'third')
    .replace('bucket: photos}', 'bucket: photos-replica}');
  expect(problemOf(set() + chained)).toMatch(/sets photos and more share s3:\/\/photos-replica/);
  // one master with two replicas
  const two = readBucketConfiguration(write(set() + elsewhere.replace('photos-replica', 'third')));
  expect(errorOf(() => selectSet(two, undefined))).toMatchObject({
    code: 'usage',
    hint: 'say --set, such as --set photos',
  });
  expect(errorOf(() => selectSet(two, 'other')).hint).toBe('sets there: photos, more');
});
