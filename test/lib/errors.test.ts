import { expect, test } from 'vitest';
import {
  asGarnerError,
  cannot,
  causeText,
  ERROR_CATALOGUE,
  type ErrorCode,
  EXIT,
  formatError,
  GarnerError,
  isNoSpace,
} from '../../lib/errors.ts';
import { registerSecret } from '../../lib/redact.ts';

const system = (code: string, more: object = {}): Error =>
  Object.assign(new Error(`${code}: as the system says it, open '/x'`), { code, ...more });

test('an error is one line that names program, action, object and cause; its hint is the next', () => {
  const error = cannot('io', 'read', '/x', system('EACCES'), { hint: 'chmod it' });
  expect(formatError('agent-x', error)).toBe('agent-x: cannot read "/x": permission denied\nhint: chmod it');
  expect(error.cause).toMatchObject({ code: 'EACCES' });
  expect(formatError('agent-x', cannot('io', 'read', '/x', 'it is odd'))).toBe(
    'agent-x: cannot read "/x": it is odd',
  );
});

test('the stack and those of its causes come only with --debug', () => {
  const error = cannot('io', 'read', '/x', new Error('inner\x1b[2J'));
  expect(formatError('p', error)).not.toContain('errors.test.ts');
  const shown = formatError('p', error, true);
  expect(shown.match(/errors\.test\.ts/g)?.length).toBeGreaterThan(1);
  expect(shown).toContain('Error: inner\\x1b[2J');
});

test('control characters of foreign names, causes and hints are escaped, whoever makes the error', () => {
  const evil = 'a\nfake: line\x1b[31m';
  const shown = [
    cannot('io', 'read', evil, evil, { hint: evil }),
    cannot('io', 'read', 'x', new Error(evil)),
    new GarnerError('usage', evil, { hint: evil }),
    asGarnerError(new Error(evil)),
    asGarnerError(evil),
    asGarnerError(system('ENOENT', { path: evil, syscall: 'open' })),
  ].map((error) => formatError('p', error));
  for (const text of shown) {
    expect(text).toContain('a\\nfake: line\\x1b[31m');
    expect(text.split('\n').filter((line) => !/^(p|hint): /.test(line))).toEqual([]);
  }
});

test('F57 registered secrets are redacted from messages, hints and stacks', () => {
  registerSecret('hunter22');
  const error = cannot('io', 'log in with', 'hunter22', new Error('denied: hunter22'), {
    hint: 'not hunter22',
  });
  expect(formatError('p', error, true)).not.toContain('hunter22');
});

test.each([
  ['usage', 2],
  ['configuration-permissions', 2],
  ['locked', 4],
  ['checksum-mismatch', 5],
  ['not-an-archive', 5],
  ['no-space', 1],
  ['internal', 1],
] as const)('%s exits with %d', (code, exit) => expect(cannot(code, 'x', 'x', 'x').exitCode).toBe(exit));

test('every code of the catalogue has an exit code that is no success, and a sentence', () => {
  for (const [code, { exit, meaning }] of Object.entries(ERROR_CATALOGUE)) {
    expect([EXIT.failed, EXIT.usage, EXIT.locked, EXIT.verification], code).toContain(EXIT[exit]);
    expect(meaning, code).toMatch(/^[A-Z].*\.$/);
    expect(cannot(code as ErrorCode, 'x', 'x', 'x').exitCode).toBe(EXIT[exit].code);
  }
  expect(new GarnerError('interrupted', 'x', { exitCode: 143 }).exitCode).toBe(143);
});

test('what was thrown by others becomes one of ours; what nobody foresaw is internal', () => {
  const own = cannot('locked', 'x', 'x', 'x');
  expect(asGarnerError(own)).toBe(own);
  expect(asGarnerError(system('EACCES', { path: '/x', syscall: 'open' }))).toMatchObject({
    code: 'io',
    message: 'cannot open "/x": permission denied',
  });
  expect(asGarnerError(system('ENOSPC'))).toMatchObject({ code: 'no-space' });
  for (const odd of [undefined, null, 'text', 7, new TypeError('x is not a function')]) {
    expect(asGarnerError(odd)).toMatchObject({ code: 'internal', exitCode: 1 });
  }
});

test('a full disk is seen through the errors around it', () => {
  expect(isNoSpace(cannot('io', 'x', 'x', cannot('io', 'y', 'y', system('EDQUOT'))))).toBe(true);
  expect(isNoSpace(cannot('io', 'x', 'x', system('EIO')))).toBe(false);
  expect(causeText(cannot('io', 'x', 'x', system('EIO')))).toBe(
    'cannot x "x": input/output error of the disk',
  );
});

test('F57 no half of a secret is left where the middle of a long message is left out', () => {
  const secret = 'halved-secret-of-thirty-letters';
  registerSecret(secret);
  for (let at = 1960; at < 2010; at += 1) {
    const { message } = new GarnerError('io', `${' '.repeat(at)}${secret}${' '.repeat(5000)}`);
    expect(message).not.toMatch(/half|lett/);
  }
});

test('a message has an end, whatever foreign text is in it', () => {
  const { message, hint } = cannot('io', 'read', 'x', `begin${'\0'.repeat(1e6)}end`, {
    hint: 'y'.repeat(1e6),
  });
  expect(message.length).toBeLessThan(5000);
  expect(message).toMatch(/^cannot read "x": begin\\x00.* … .*\\x00end$/);
  expect(hint?.length).toBeLessThan(5000);
});
