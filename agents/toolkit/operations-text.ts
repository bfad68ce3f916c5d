// What stands for something else in the texts of an operation ($Name, $Date), and what in its command looks like a password.

/**
 * Replaces `$Name` and `$Date` as text, wherever they stand; all else, `$cid` and `${Name}` too, is for the shell.
 */
export function fillIn(text: string, { name, date }: { name: string; date: string }): string {
  return text.replace(/\$(Name|Date)/g, (_, word) => (word === 'Name' ? name : date));
}

/**
 * @param calendar `persian`: the Jalali calendar
 * @returns local time as `YYYY.DD.MM-HH.mm.ss`
 */
export function formatDate(time: Date, calendar: 'gregory' | 'persian'): string {
  const format = new Intl.DateTimeFormat(`en-u-ca-${calendar}-nu-latn-hc-h23`, {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, value]));
  const all = (...types: Intl.DateTimeFormatPartTypes[]): string =>
    types.map((type) => parts.get(type)).join('.');
  return `${all('year', 'day', 'month')}-${all('hour', 'minute', 'second')}`;
}

/** A word, or what is in quotes; the text of one that the shell fills in (`$PW`, `$(cat file)`) is no secret. */
const VALUE = String.raw`(?:"(?<a>(?:[^"\\]|\\.)+)"|'(?<b>[^']+)'|(?<c>[^\s'";|&<>()]+))`;
const MYSQL = String.raw`\b(?:mysql\w*|mariadb[\w-]*)(?=\s)[^;|&\n]*?`;
/** Where programs take a password on their command line; `ps` shows it there. */
const PASSWORDS = [
  String.raw`--?[\w-]*(?:passw(?:or)?d|passphrase|secret|token)(?:=|\s+)${VALUE}`,
  String.raw`(?i:\b\w*(?:passw(?:or)?d|pwd|passphrase|secret|token|_key|rediscli_auth))=${VALUE}`,
  String.raw`${MYSQL}\s-p${VALUE}`,
  String.raw`\b(?:sqlcmd|bcp|SqlPackage|sshpass|mongodump|mongoexport)\b[^;|&\n]*?\s-[pP]\s*${VALUE}`,
  String.raw`\b(?:redis-cli)\b[^;|&\n]*?\s-a\s+${VALUE}`,
  String.raw`\bcurl\b[^;|&\n]*?\s(?:-u|--user)[\s=]+[^\s:'"]+:${VALUE}`,
  String.raw`[a-z][a-z0-9+.-]*://[^\s:/@'"]*:(?<c>[^\s@'"]+)@`,
];

/** A password in a text, by its place: the value may be a common word elsewhere. */
interface Found {
  from: number;
  to: number;
}

function findPasswords(command: string): Found[] {
  return PASSWORDS.flatMap((pattern) =>
    [...command.matchAll(new RegExp(pattern, 'dg'))].flatMap(({ groups, indices }) => {
      const name = ['a', 'b', 'c'].find((group) => groups?.[group] !== undefined) ?? 'c';
      const value = groups?.[name] ?? '';
      const [from, to] = indices?.groups?.[name] ?? [0, 0];
      const ofShell = name !== 'b' && /^(\$|`)/.test(value);
      return ofShell ? [] : [{ from, to }];
    }),
  );
}

/** @returns the passwords that a command has in it */
export function passwordsIn(command: string): string[] {
  return [...new Set(findPasswords(command).map(({ from, to }) => command.slice(from, to)))];
}

/** @returns the command with its passwords made unreadable, for people */
export function withoutPasswords(command: string): string {
  let shown = '';
  let done = 0;
  for (const { from, to } of findPasswords(command).sort((a, b) => a.from - b.from)) {
    if (to <= done) continue;
    shown += `${command.slice(done, Math.max(from, done))}[redacted]`;
    done = to;
  }
  return shown + command.slice(done);
}
