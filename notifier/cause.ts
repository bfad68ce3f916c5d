// What kind of cause a text tells: the same trouble reads a little different each time and on each host.
const LEFT_OUT = '…';

/**
 * @param host the host that the text is about
 * @returns the text without that host's names, and without words that have a digit: times, sizes, process ids, addresses
 */
export function kindOfCause(text: string, host?: string): string {
  return withoutHost(text, host)
    .replace(/[\w.:+-]+/g, (word) => (/\d/.test(word) ? word.replace(/^.*[^.:]/, LEFT_OUT) : word))
    .replace(/…(?:[ .:,/-]?…)+/g, LEFT_OUT);
}

function withoutHost(text: string, host: string | undefined): string {
  if (host === undefined) return text;
  const short = host.split('.', 1)[0] as string;
  const either = [host, short].map((name) => RegExp.escape(name)).join('|');
  return text.replace(new RegExp(`(?<![\\w-])(?:${either})(?![\\w-])`, 'gi'), LEFT_OUT);
}
