import { expect, it } from 'vitest';
import { registerSecret } from '../../lib/redact.ts';
import { htmlOf } from '../../notifier/html.ts';
import { makeMessage, subjectOf, textOf } from '../../notifier/message.ts';

const content = { result: 'FAILED', name: 'wiki', host: 'web1', summary: 'no space', facts: [] } as const;

it('has a subject as the contract says', () => {
  expect(subjectOf(makeMessage({ ...content, facts: [] }))).toBe('[garner] FAILED wiki on web1: no space');
});

it('keeps line breaks out of the subject, and the subject short', () => {
  const message = makeMessage({
    ...content,
    facts: [],
    name: 'wiki\r\nBcc: evil@example.org',
    summary: `${'long '.repeat(100)}\n\x1b[2J`,
  });
  const subject = subjectOf(message);
  expect(subject).not.toMatch(/[\r\n\x1b]/);
  expect(subject).toContain('wiki\\r\\nBcc: evil@example.org');
  expect(subject.length).toBeLessThanOrEqual(200);
});

it('never cuts a character in two', () => {
  for (let pad = 0; pad < 3; pad += 1) {
    const subject = subjectOf(
      makeMessage({ ...content, facts: [], summary: 'a'.repeat(pad) + '😀'.repeat(150) }),
    );
    expect(subject.isWellFormed()).toBe(true);
  }
});

it('redacts secrets wherever they stand', () => {
  registerSecret('sesame-open');
  const message = makeMessage({
    ...content,
    name: 'sesame-open',
    summary: 'password sesame-open refused',
    facts: [{ label: 'Command', value: 'dump --password=sesame-open' }],
  });
  expect(JSON.stringify(message)).not.toContain('sesame');
});

it('lets nothing become markup', () => {
  const evil = '<img src=x onerror="alert(1)"> & \'';
  const message = makeMessage({
    ...content,
    name: evil,
    summary: evil,
    facts: [{ label: 'Cause', value: `${evil}\n${evil}` }],
    log: { head: `</pre><script>${evil}`, tail: evil, leftOutBytes: 5 },
  });
  const html = htmlOf(message);
  expect(html).not.toMatch(/<img|<script|onerror="/);
  expect(html.match(/&lt;img src=x onerror=&quot;alert\(1\)&quot;&gt; &amp; &#39;/g)).toHaveLength(8);
});

it('loads nothing from anywhere in HTML, and lets mail programs turn it dark', () => {
  const html = htmlOf(
    makeMessage({ ...content, facts: [], log: { head: 'a log', tail: '', leftOutBytes: 0 } }),
  );
  expect(html).not.toMatch(/https?:|url\(|src=|@import/);
  expect(html).toContain('<meta name="color-scheme" content="light dark">');
});

it('aligns facts in plain text and says what of the log is left out', () => {
  const text = textOf(
    makeMessage({
      ...content,
      facts: [
        { label: 'Host', value: 'web1' },
        { label: 'Exit code', value: '1' },
        { label: 'Cause', value: 'one\ntwo' },
      ],
      log: { head: 'first\n', tail: 'last\n', leftOutBytes: 1_500_000 },
    }),
  );
  expect(text).toContain('Host:      web1\nExit code: 1\nCause:     one\n           two\n');
  expect(text).toContain('first\n\n[… 1.5 MB left out …]\n\nlast\n');
});

it('has the runs of late as a line in text and as bars in HTML', () => {
  const bars = [100, 50, null].map((value, index) => ({
    result: value === null ? ('failed' as const) : ('ok' as const),
    value,
    startedAt: `2026-01-0${index + 1}T02:15:00.000Z`,
  }));
  const message = makeMessage({ ...content, facts: [], series: { of: 'size', bars } });
  expect(textOf(message)).toContain(
    '\nSize of the last 3 runs, since 2026-01-01, at most 100 B; × 1 failed or missed\n█▄×\n',
  );
  expect(htmlOf(message).match(/<td height="\d+"/g)).toEqual([
    '<td height="56"',
    '<td height="28"',
    '<td height="15"',
  ]);
});
