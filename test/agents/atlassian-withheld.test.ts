// What of a password's secrets is not in the archive, in each way that Atlassian's applications encrypt it.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withheldSecrets } from '../../agents/toolkit/atlassian-withheld.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';

const AES = 'com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher';
let directory: string;
let home: string;
const withheld = (password: string, cipher?: string) =>
  withheldSecrets({ file: '/jira/dbconfig.xml', url: '', user: 'u', password, cipher }, hostView(), [home]);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-secrets-'));
  home = join(directory, 'home');
  mkdirSync(home);
});
afterEach(() => rmSync(directory, { recursive: true }));

it('is nothing where the password is plain, or only encoded', () => {
  expect(withheld('secret')).toEqual([]);
  expect(withheld('c2VjcmV0', 'com.atlassian.secrets.store.base64.Base64SecretStore')).toEqual([]);
});

it('is each key file outside of the archive that the password names, by a link too', () => {
  const [key, sealed] = [join(home, 'javax.crypto.spec.SecretKeySpec_1'), join(directory, 'sealed')];
  for (const file of [key, sealed]) writeFileSync(file, '');
  const names = (keyFilePath: string, sealedObjectFilePath: string): string[] =>
    withheld(JSON.stringify({ keyFilePath, sealedObjectFilePath, algorithm: 'AES' }), AES).map(
      ({ what }) => what,
    );
  expect(names(key, sealed)).toEqual([sealed]);
  expect(names(key, key)).toEqual([]);
  symlinkSync(sealed, join(home, 'link'));
  expect(names(key, join(home, 'link'))).toEqual([join(home, 'link')]);
  expect(names(`${home}2/key`, 'relative')).toEqual([`${home}2/key`, 'relative']);
});

it('is what the environment or a vault has', () => {
  const vault = 'com.atlassian.secrets.store.vault.VaultSecretStore';
  for (const [password, cipher] of [
    ['{}', AES],
    ['{"mount": "secret", "path": "jira"}', vault],
    ['canary', 'org.example.OurCipher'],
  ] as const) {
    const [one, ...others] = withheld(password, cipher);
    expect(others).toEqual([]);
    expect(one?.what).toContain(cipher);
    expect(one?.remedy).toContain('write the password into /jira/dbconfig.xml');
    expect(JSON.stringify(one)).not.toContain('canary');
  }
});

it.each(['keys', 'secured', 'secrets-config.yaml'])(
  'is a secret storage that is not there, but not %s',
  (store) => {
    expect(withheld('{ATL_SECURED}')).toMatchObject([{ what: expect.stringContaining('{ATL_SECURED}') }]);
    mkdirSync(join(home, store));
    expect(withheld('{ATL_SECURED}')).toEqual([]);
  },
);
