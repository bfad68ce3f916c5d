// Secrets never leave by a log, a message or a mail: what a run has learned to be secret is
// registered here by value and replaced wherever text goes out.
// It doesn't find secrets nobody registered.

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
  secrets.add(encodeURIComponent(value));
  secrets.add(JSON.stringify(value).slice(1, -1));
  secrets.add(Buffer.from(value).toString('base64').replace(/=+$/, ''));
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
  pattern = new RegExp(longestFirst.map((secret) => RegExp.escape(secret)).join('|'), 'g');
}

/** Registers the password of a URL, where it has one. Text that is no URL is left alone. */
export function registerUrlSecret(url: string | undefined): void {
  if (url === undefined || !URL.canParse(url)) return;
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
