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
 * As Python's configparser without interpolation: keys in lower case, the last of equal ones wins, an indented line goes
 * on with the value before, comments stand in lines of their own, quotes mean nothing, `[DEFAULT]` is for all sections.
 * @throws application-configuration for what is no INI file
 */
export function parsePythonIni(source: string, file: string): IniFile {
  const sections: Sections = new Map();
  let section: Map<string, string> | undefined;
  let key: string | undefined;
  for (const [index, line] of linesOf(source).entries()) {
    const text = line.trim();
    if (text === '' || /^[#;]/.test(text)) continue;
    const header = /^\[(.+)\]/.exec(line)?.[1];
    if (section !== undefined && key !== undefined && /^\s/.test(line)) {
      section.set(key, `${section.get(key)}\n${text}`);
    } else if (header !== undefined) {
      section = sectionOf(sections, header);
      key = undefined;
    } else {
      const found = /^(.*?)\s*[=:]\s*(.*)$/.exec(text);
      if (section === undefined || found === null) throw unreadable(file, index);
      key = (found[1] as string).toLowerCase();
      section.set(key, found[2] as string);
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

/** A key, perhaps in quotes, and what follows it. */
const GO_KEY = /^(?:("""|`|")(.+?)\1|([^=:]*?))\s*[=:]\s*(.*)$/s;

/** How often a value may refer to another that refers to another. */
const MAX_REFERENCES = 99;

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
    const [, , quoted, plain, rest] = GO_KEY.exec(text) ?? [];
    const key = quoted ?? plain;
    if (!key || rest === undefined) throw unreadable(file, begun);
    let value = rest;
    const quote = ['"""', '`'].find((mark) => value.startsWith(mark));
    if (quote !== undefined) {
      value = value.slice(quote.length);
      while (!value.includes(quote) && index + 1 < lines.length) value += `\n${lines[++index]}`;
      if (!value.includes(quote)) throw unreadable(file, begun);
      value = value.slice(0, value.lastIndexOf(quote));
    } else {
      while (value.endsWith('\\') && index + 1 < lines.length) {
        value = value.slice(0, -1) + (lines[++index] as string).trim();
      }
      value = value.replace(/[#;].*$/s, '').trim();
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
      const reference = /%\(([^)]+)\)s/.exec(text);
      const found =
        reference === null
          ? undefined
          : (own(name, reference[1] as string) ?? own('DEFAULT', reference[1] as string));
      if (reference === null || found === undefined) break;
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
