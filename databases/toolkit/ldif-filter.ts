// What of LDIF a dump has: names, values, comments. In LDIF of others a value may be that of a file of this host
// (`jpegPhoto:< file:///etc/shadow`), and a file may be included; slapadd, as root, would put into the directory what is there.
const NEWLINE = 10;
/** An attribute's name with its options is shorter. */
const MAX_NAME_CHARS = 1000;

/**
 * @returns a filter that lets chunks through as they are
 * @throws a text, from the filter, for what slapcat never writes: a line that names a file, or one that is folded
 */
export function filterLdif(): (chunk: Buffer | undefined) => Buffer[] {
  /** The beginning of the line, as far as it matters. */
  let head = '';
  let isDecided = false;
  let line = 1;
  const decide = (): void => {
    const isPlain = head === '' || head.startsWith('#') || /^(?!include:)[^\s:]+:(?!<)/i.test(head);
    if (!isPlain) throw new Error(`line ${line} of the dump is none that slapcat writes`);
    isDecided = true;
  };
  return (chunk) => {
    if (chunk === undefined) return [];
    if (chunk.includes(0)) throw new Error('the dump has a NUL, which slapcat never writes');
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(NEWLINE, at);
      const end = newline === -1 ? chunk.length : newline;
      if (!isDecided) {
        head += chunk.toString('latin1', at, Math.min(end, at + MAX_NAME_CHARS));
        // the character after the colon is what matters
        if (newline !== -1 || /^#|:./.test(head) || head.length > MAX_NAME_CHARS) decide();
      }
      if (newline === -1) break;
      head = '';
      isDecided = false;
      line += 1;
      at = newline + 1;
    }
    return [Buffer.from(chunk)]; // it may be reused
  };
}
