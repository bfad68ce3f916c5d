// Asks restic what it would forget. A snapshot that restic makes costs a second; here the repository is written by hand, as
// restic's design page describes format 1: `nonce ‖ AES-256-CTR ‖ Poly1305-AES` of JSON, named by its SHA-256. All
// deciding is restic's.
import { createCipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** Tens of thousands of small files. */
const MEMORY = '/dev/shm';
const PASSWORD = 'of a test';
/** As low as restic takes it: nothing here is secret, and restic derives the key in each run. */
const SCRYPT = { N: 2, r: 1, p: 1 };
/** Any irreducible one will do: nothing is cut into chunks. */
const CHUNKER_POLYNOMIAL = '374a3c4062fdbb';

interface Key {
  encrypt: Buffer;
  macKey: Buffer;
  macNonceKey: Buffer;
}

/** What restic decided about one snapshot. */
export interface Decision {
  time: Date;
  /** `last`, `hourly`, …, as often as they keep it; none: it goes. */
  rules: string[];
}

const little = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);

function poly1305(r: Buffer, s: Buffer, message: Buffer): Buffer {
  const clamped = little(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + little(block) + (1n << BigInt(8 * block.length))) * clamped) % ((1n << 130n) - 5n);
  }
  const tag = (sum + little(s)) & ((1n << 128n) - 1n);
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}

function seal({ encrypt, macKey, macNonceKey }: Key, content: object): Buffer {
  const nonce = randomBytes(16);
  const cipherText = createCipheriv('aes-256-ctr', encrypt, nonce).update(JSON.stringify(content));
  const s = createCipheriv('aes-128-ecb', macKey, null).update(nonce);
  return Buffer.concat([nonce, cipherText, poly1305(macNonceKey, s, cipherText)]);
}

const keyOf = (bytes: Buffer): Key => ({
  encrypt: bytes.subarray(0, 32),
  macKey: bytes.subarray(32, 48),
  macNonceKey: bytes.subarray(48, 64),
});

/** Writes a file that is named by what is in it. */
function writeNamed(directory: string, content: Buffer | string): void {
  writeFileSync(join(directory, createHash('sha256').update(content).digest('hex')), content);
}

function writeKey(directory: string, key: Key): void {
  const salt = randomBytes(64);
  const data = seal(keyOf(scryptSync(PASSWORD, salt, 64, SCRYPT)), {
    mac: { k: key.macKey.toString('base64'), r: key.macNonceKey.toString('base64') },
    encrypt: key.encrypt.toString('base64'),
  });
  const file = { kdf: 'scrypt', ...SCRYPT, salt: salt.toString('base64'), data: data.toString('base64') };
  writeNamed(directory, JSON.stringify({ created: new Date(), username: 'test', hostname: 'test', ...file }));
}

/**
 * Lets restic decide about series of snapshots.
 * @param series the times of each; a series is a host of its own, and may not be empty
 * @param options of `restic forget`: `--keep-daily=7`
 * @returns its decisions by series, newest first
 */
export async function askRestic(series: readonly Date[][], options: string[]): Promise<Decision[][]> {
  const directory = mkdtempSync(join(MEMORY, 'garner-restic-'));
  try {
    for (const name of ['data', 'index', 'keys', 'locks', 'snapshots']) mkdirSync(join(directory, name));
    const key = keyOf(randomBytes(64));
    writeKey(join(directory, 'keys'), key);
    const id = randomBytes(32).toString('hex');
    const config = { version: 1, id, chunker_polynomial: CHUNKER_POLYNOMIAL };
    writeFileSync(join(directory, 'config'), seal(key, config));
    for (const [hostname, times] of series.entries()) {
      for (const time of times) {
        const snapshot = { time, tree: id, paths: ['/'], hostname: `${hostname}`, username: 'test' };
        writeNamed(join(directory, 'snapshots'), seal(key, snapshot));
      }
    }
    const args = ['forget', '--dry-run', '--json', '--no-cache', '--no-lock', '--group-by=host', ...options];
    const env = { RESTIC_REPOSITORY: directory, RESTIC_PASSWORD: PASSWORD, TZ: 'UTC' };
    return decisionsOf((await execa('restic', args, { env })).stdout, series.length);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

interface Group {
  host: string;
  remove: { time: string }[] | null;
  reasons: { snapshot: { time: string }; matches: string[] }[];
}

function decisionsOf(json: string, count: number): Decision[][] {
  const decisions: Decision[][] = Array.from({ length: count }, () => []);
  for (const { host, reasons, remove } of JSON.parse(json) as Group[]) {
    const kept = reasons.map(({ snapshot, matches }) => ({
      time: new Date(snapshot.time),
      rules: matches.map((match) => match.replace(/ snapshot$/, '')),
    }));
    const removed = (remove ?? []).map(({ time }) => ({ time: new Date(time), rules: [] }));
    decisions[Number(host)] = [...kept, ...removed].toSorted((a, b) => b.time.getTime() - a.time.getTime());
  }
  return decisions;
}
