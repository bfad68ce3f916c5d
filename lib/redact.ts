// Secrets never leave by a log, a message or a mail: what a run has learned to be secret is registered here by value and
// replaced wherever text goes out, also as programs write it: in a URL, JSON, HTML, quoted-printable, escaped for a shell or
// a terminal, in base64 or in hexadecimal, or some of these around each other.
// It doesn't find secrets nobody registered, nor pieces of one.
import { escapeControls } from './text.ts';
import { ESCAPES, joinBase64, type Traced, traceText, undoEscapes } from './unescape.ts';

const secrets = new Set<string>();
/** Secrets as they are, and undone where they look like something escaped; in UTF-8, a byte in each character. */
const plainForms = new Set<string>();
const base64Forms = new Set<string>();
const hexForms = new Set<string>();

/** Shorter values would blank out ordinary words; a password that short protects nothing. */
const SHORTEST = 4;
/** Of a secret of several lines, each that is as long is one by itself. */
const SHORTEST_LINE = 16;
/** So often a text may be escaped: JSON within JSON in a URL. */
const LEVELS = 3;

/**
 * Registers a secret.
 * @param value the secret itself; empty and very short values are ignored
 */
export function registerSecret(value: string | undefined): void {
  if (value === undefined) return;
  const lines = value.split(/\r?\n/).map((line) => line.trim());
  const long = lines.filter((line) => line.length >= SHORTEST_LINE && !line.startsWith('-----'));
  for (const one of [value, value.trim(), ...long]) {
    if (one.length < SHORTEST || secrets.has(one)) continue;
    secrets.add(one);
    for (const { bytes } of levelsOf(one)) add(plainForms, bytes);
    add(plainForms, traceText(escapeControls(one)).bytes);
    // of a form in a page
    if (one.includes(' ')) add(plainForms, traceText(one.replaceAll(' ', '+')).bytes);
    const bytes = Buffer.from(one);
    add(hexForms, bytes.toString('hex'));
    for (const shift of [0, 1, 2]) add(base64Forms, base64Of(bytes, shift));
  }
}

function add(forms: Set<string>, form: string): void {
  if (form.length >= SHORTEST) forms.add(form);
}

/** @returns what base64 makes of it where so many bytes stand in front of it, as in `user:password` */
function base64Of(bytes: Buffer, shift: number): string {
  return Buffer.concat([Buffer.alloc(shift), bytes])
    .toString('base64')
    .slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
}

/** @returns a text as it is, and with its escapes undone once, twice, as often as there are any */
function levelsOf(text: string): Traced[] {
  const levels = [traceText(text)];
  for (const escapes of Object.values(ESCAPES)) {
    let level = levels[0];
    for (let i = 0; i < LEVELS && level !== undefined; i += 1) {
      level = undoEscapes(level, escapes);
      if (level !== undefined) levels.push(level);
    }
  }
  return levels;
}

/** Registers the password of a URL, where it has one, also of one that is malformed. Other text is left alone. */
export function registerUrlSecret(url: string | undefined): void {
  if (url === undefined) return;
  if (!URL.canParse(url)) {
    registerSecret(/:\/\/[^:]*:(.*)@/s.exec(url)?.[1]);
    return;
  }
  const { password } = new URL(url);
  registerSecret(password);
  try {
    registerSecret(decodeURIComponent(password));
  } catch {
    // a stray % is no encoding: the raw form is registered
  }
}

/** @returns the text with every registered secret replaced by `[redacted]` */
export function redact(text: string): string {
  if (secrets.size === 0) return text;
  const found: [number, number][] = [];
  const look = (forms: ReadonlySet<string>, { bytes, offsets }: Traced): void => {
    for (const form of forms) {
      for (let at = bytes.indexOf(form); at !== -1; at = bytes.indexOf(form, at + form.length)) {
        found.push([offsets[at] as number, offsets[at + form.length] as number]);
      }
    }
  };
  for (const level of levelsOf(text)) {
    look(plainForms, level);
    look(hexForms, { ...level, bytes: level.bytes.toLowerCase() });
    look(base64Forms, joinBase64(level));
  }
  return withoutRanges(text, found);
}

function withoutRanges(text: string, ranges: [number, number][]): string {
  ranges.sort(([a], [b]) => a - b);
  const pieces: string[] = [];
  let shown = 0;
  for (const [from, to] of ranges) {
    if (to <= shown) continue;
    // one that overlaps the one before has its sign already
    if (from >= shown) pieces.push(text.slice(shown, from), '[redacted]');
    shown = to;
  }
  return pieces.join('') + text.slice(shown);
}
