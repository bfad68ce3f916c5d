import { expect, it } from 'vitest';
import { kindOfCause } from '../../notifier/cause.ts';
import { groupMessages } from '../../notifier/grouping.ts';
import { type Message, makeMessage, subjectOf, textOf } from '../../notifier/message.ts';

const failed = (host: string, summary: string, name = 'pull'): Message =>
  makeMessage({
    result: 'FAILED',
    name,
    host,
    summary,
    facts: [
      { label: 'Host', value: host },
      { label: 'To do', value: 'look at the switch' },
    ],
  });

it('makes one message of fifty hosts that fail for one reason', () => {
  const hosts = Array.from({ length: 50 }, (_, i) => `web${i + 1}.example.test`);
  const messages = hosts.map((host, i) =>
    failed(host, `cannot connect to "sftp://${host}:22": connection refused after ${i} s`),
  );
  const [message, ...others] = groupMessages(messages, 'backup1');
  expect(others).toEqual([]);
  expect(subjectOf(message as Message)).toBe(
    '[garner] FAILED pull on backup1: 50 hosts: cannot connect to "sftp://…": connection refused after … s: ' +
      'web1.example.test, web2.example.test, web3.example.test, … and 47 more',
  );
  const text = textOf(message as Message);
  for (const host of hosts) expect(text).toContain(`${host}: pull: cannot connect to "sftp://${host}:22"`);
  expect(text).toContain('look at the switch');
});

it('keeps apart what has another cause, another result or stands alone', () => {
  const alone = failed('web3', 'host key has changed');
  const missed = makeMessage({ ...failed('web1', 'connection refused'), result: 'MISSED', level: 'missed' });
  const grouped = groupMessages(
    [failed('web1', 'connection refused'), alone, missed, failed('web2', 'connection refused')],
    'backup1',
  );
  expect(grouped.map(({ result, host, summary }) => [result, host, summary])).toEqual([
    ['FAILED', 'backup1', '2 hosts: connection refused: web1, web2'],
    ['FAILED', 'web3', 'host key has changed'],
    ['MISSED', 'web1', 'connection refused'],
  ]);
  expect(grouped[1]).toBe(alone);
});

it('names the applications of one host', () => {
  const [message] = groupMessages(
    ['wiki', 'jira', 'trac'].map((name) => failed('web1', 'no space left', name)),
    'backup1',
  );
  expect(subjectOf(message as Message)).toBe(
    '[garner] FAILED 3 applications on web1: no space left: wiki, jira, trac',
  );
});

it('lists two hundred, and says how many more there are', () => {
  const [message] = groupMessages(
    Array.from({ length: 500 }, (_, i) => failed(`web${i}`, 'gone')),
    'backup1',
  );
  expect(message?.facts[0]?.value).toMatch(/^web199: pull\n… and 300 more$/m);
});

it('stays fast and safe on text that somebody made for it', () => {
  const hostile = ['a'.repeat(200_000), '1'.repeat(200_000), '….'.repeat(100_000), 'web1'.repeat(50_000)];
  for (const text of hostile) expect(kindOfCause(text, 'web1').length).toBeLessThanOrEqual(text.length);
  const [message] = groupMessages([failed('a', 'x\r\nBcc: y\u202e'), failed('b', 'x\r\nBcc: y\u202e')], 'c');
  expect(message?.summary).toBe('2 hosts: x\\r\\nBcc: y\\u202e: a, b');
});
