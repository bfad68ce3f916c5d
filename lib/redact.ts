// Secrets never leave by a log, a message or a mail: what a run has learned to be secret is
// registered here by value and replaced wherever text goes out.
// It doesn't find secrets nobody registered.

import { escapeControls } from './text.ts';

const secrets = new Set<string>();
let pattern: RegExp | undefined;

/** Shorter values would blank out ordinary words; a password that short protects nothing. */
const SHORTEST = 4;

/**
 * Registers a secret, together with its forms in base64 and in a URL.
 * @param value the secret itself; empty and very short values are ignored
 */
export function registerSecret(value: string | undefined): void {
  if (value === undefined || value.length < SHORTEST) return;
  secrets.add(value);
  secrets.add(encodeURIComponent(value.toWellFormed()));
  secrets.add(JSON.stringify(value).slice(1, -1));
  secrets.add(escapeControls(value));
  for (const form of base64Forms(value)) secrets.add(form);
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
  pattern = new RegExp(longestFirst.map((secret) => RegExp.escape(secret)).join('|'), 'g');
}

/** @returns what base64 makes of it at each of the three places of a longer text, as in `user:password` */
function base64Forms(value: string): string[] {
  const bytes = Buffer.from(value);
  return [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6)),
  );
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
  return pattern === undefined ? text : text.replace(pattern, '[redacted]');
}
