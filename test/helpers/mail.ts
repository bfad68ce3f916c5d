// Reads a mail as a mail program would, as far as tests need it: headers unfolded and decoded, parts decoded.

export interface ParsedMail {
  /** By lower-case name; the last of several. */
  headers: Record<string, string>;
  text: string;
  html: string;
  raw: string;
}

export function parseMail(raw: string): ParsedMail {
  const mail = raw.replaceAll('\r\n', '\n');
  const { headers, body } = split(mail);
  const boundary = /boundary="([^"]+)"/.exec(headers['content-type'] ?? '')?.[1];
  const parts = boundary === undefined ? [mail] : body.split(`--${boundary}`).slice(1, -1);
  const decoded = parts.map((part) => decodePart(part.replace(/^\n/, '')));
  const find = (type: string): string => decoded.find((part) => part.type.startsWith(type))?.content ?? '';
  return { headers, text: find('text/plain'), html: find('text/html'), raw };
}

function split(mail: string): { headers: Record<string, string>; body: string } {
  const end = mail.indexOf('\n\n');
  const unfolded = mail.slice(0, end).replace(/\n[ \t]+/g, ' ');
  const headers: Record<string, string> = {};
  for (const line of unfolded.split('\n')) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = decodeWords(line.slice(colon + 1).trim());
  }
  return { headers, body: mail.slice(end + 2) };
}

/** RFC 2047; blanks between two encoded words don't count. */
function decodeWords(value: string): string {
  return value
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_, kind: string, word: string) =>
      kind.toLowerCase() === 'b'
        ? Buffer.from(word, 'base64').toString()
        : decodeQuotedPrintable(word.replaceAll('_', ' ')),
    );
}

function decodePart(part: string): { type: string; content: string } {
  const { headers, body } = split(part);
  const encoding = headers['content-transfer-encoding'] ?? '7bit';
  const decode =
    encoding === 'base64'
      ? (text: string) => Buffer.from(text, 'base64').toString()
      : encoding === 'quoted-printable'
        ? decodeQuotedPrintable
        : (text: string) => text;
  return { type: headers['content-type'] ?? '', content: decode(body) };
}

function decodeQuotedPrintable(text: string): string {
  const bytes = text
    .replace(/=\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString();
}
