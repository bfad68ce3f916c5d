// Reads INI files as the programs do that own them: Python's configparser (Trac) and Go's ini.v1 (Gitea, Forgejo). They
// differ in quotes, comments behind values, continued lines and references to other values.
import { cannot, type GarnerError } from '../../lib/errors.ts';

export interface IniFile {
  /** @returns undefined where neither the section nor what it inherits from has the key */
  value(section: string, key: string): string | undefined;
  /** @returns the section's own keys and values, in the file's order */
  entries(section: string): [string, string][];
  sections(): string[];
}

type Sections = Map<string, Map<string, string>>;

function sectionOf(sections: Sections, name: string): Map<string, string> {
  const found = sections.get(name) ?? new Map<string, string>();
  sections.set(name, found);
  return found;
}

/** The text is not told: it may be a password. */
const unreadable = (file: string, index: number): GarnerError =>
  cannot(
    'application-configuration',
    'read configuration',
    file,
    `line ${index + 1} is neither a section nor a key with a value`,
  );

const linesOf = (source: string): string[] => source.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);

/**
 * As Python's configparser without interpolation: keys in lower case, the last of equal ones wins, a line that is
 * indented further goes on with the value before, comments stand in lines of their own, quotes mean nothing,
 * `[DEFAULT]` is for all sections.
 * @throws application-configuration for what is no INI file
 */
export function parsePythonIni(source: string, file: string): IniFile {
  const sections: Sections = new Map();
  let section: Map<string, string> | undefined;
  let key: string | undefined;
  let keyIndent = 0;
  for (const [index, line] of linesOf(source).entries()) {
    const text = line.trim();
    if (text === '' || /^[#;]/.test(text)) continue;
    const indent = line.length - line.trimStart().length;
    if (section !== undefined && key !== undefined && indent > keyIndent) {
      section.set(key, `${section.get(key)}\n${text}`);
      continue;
    }
    keyIndent = indent;
    const header = /^\[(.+)\]/.exec(text)?.[1];
    if (header !== undefined) {
      section = sectionOf(sections, header);
      key = undefined;
    } else {
      const at = text.search(/[=:]/);
      if (section === undefined || at === -1) throw unreadable(file, index);
      key = text.slice(0, at).trimEnd().toLowerCase();
      section.set(key, text.slice(at + 1).trimStart());
    }
  }
  const defaults = sections.get('DEFAULT');
  return {
    value: (name, wanted) => {
      const own = wanted.toLowerCase();
      return sections.get(name)?.get(own) ?? defaults?.get(own);
    },
    entries: (name) => [...(sections.get(name) ?? [])],
    sections: () => [...sections.keys()],
  };
}

/** Splits a line at its first `=` or `:` that is not in a key's quotes; expressions take too long for long lines. */
function splitGoLine(text: string): [key: string, value: string] | undefined {
  const quote = ['"""', '`', '"'].find((mark) => text.startsWith(mark));
  const end = quote === undefined ? 0 : text.indexOf(quote, quote.length);
  const isQuoted = quote !== undefined && end > quote.length;
  const from = isQuoted ? end + quote.length : 0;
  const at = text.slice(from).search(/[=:]/);
  const key = isQuoted ? text.slice(quote.length, end) : text.slice(0, from + at).trimEnd();
  return at === -1 || key === '' ? undefined : [key, text.slice(from + at + 1).trimStart()];
}

/** How often a value may refer to another that refers to another. */
const MAX_REFERENCES = 99;
/** References may double what they refer to. */
const MAX_VALUE_CHARS = 1 << 20;

/**
 * As Go's ini.v1: keys as they are written, the last of equal ones wins, `#` and `;` begin a comment anywhere but in
 * backquotes and `"""`, quotes around a value go, a backslash at the end joins the next line, `%(KEY)s` is another value
 * of the section, and `[a.b]` inherits from `[a]`. What stands before the first section is in `DEFAULT`, which only
 * references look into.
 * @throws application-configuration for what is no INI file
 */
export function parseGoIni(source: string, file: string): IniFile {
  const sections: Sections = new Map();
  let section = sectionOf(sections, 'DEFAULT');
  const lines = linesOf(source);
  for (let index = 0; index < lines.length; index++) {
    const begun = index;
    const text = (lines[index] as string).trim();
    if (text === '' || /^[#;]/.test(text)) continue;
    const header = /^\[(.*)\]/.exec(text)?.[1];
    if (header !== undefined) {
      section = sectionOf(sections, header.trim());
      continue;
    }
    const split = splitGoLine(text);
    if (split === undefined) throw unreadable(file, begun);
    const [key, rest] = split;
    let value = rest;
    const quote = ['"""', '`'].find((mark) => value.startsWith(mark));
    if (quote !== undefined) {
      const parts = [value.slice(quote.length)];
      while (!parts.at(-1)?.includes(quote) && index + 1 < lines.length) parts.push(lines[++index] as string);
      const last = parts.pop() as string;
      if (!last.includes(quote)) throw unreadable(file, begun);
      value = [...parts, last.slice(0, last.lastIndexOf(quote))].join('\n');
    } else {
      const parts = [value];
      while (parts.at(-1)?.endsWith('\\') && index + 1 < lines.length) {
        parts.push((parts.pop() as string).slice(0, -1), (lines[++index] as string).trim());
      }
      value = parts.join('');
      const comment = value.search(/[#;]/);
      if (comment !== -1) value = value.slice(0, comment).trim();
      value = /^(['"])((?:(?!\1).)*)\1$/s.exec(value)?.[2] ?? value;
    }
    section.set(key, value);
  }
  const own = (name: string, key: string): string | undefined => {
    for (let at = name; ; at = at.slice(0, at.lastIndexOf('.'))) {
      const found = sections.get(at)?.get(key);
      if (found !== undefined || !at.includes('.')) return found;
    }
  };
  const expand = (name: string, value: string): string => {
    let text = value;
    for (let n = 0; n < MAX_REFERENCES; n++) {
      const reference = /%\(([^()%]+)\)s/.exec(text);
      const found =
        reference === null
          ? undefined
          : (own(name, reference[1] as string) ?? own('DEFAULT', reference[1] as string));
      if (reference === null || found === undefined || text.length > MAX_VALUE_CHARS) break;
      text = text.replace(reference[0], () => found);
    }
    return text;
  };
  return {
    value(name, key) {
      const found = own(name, key);
      return found === undefined ? undefined : expand(name, found);
    },
    entries: (name) =>
      [...(sections.get(name) ?? [])].map(([key, value]): [string, string] => [key, expand(name, value)]),
    sections: () => [...sections.keys()],
  };
}
