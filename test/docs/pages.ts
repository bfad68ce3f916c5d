// The pages of the documentation as tests see them: their fenced blocks, and the commands in these.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

export interface Page {
  /** Relative to the checkout. */
  path: string;
  text: string;
}

export interface Block {
  page: string;
  /** The language behind its fence; empty where it has none. */
  language: string;
  content: string;
}

/** @returns the pages that people read, README first */
export function readPages(): Page[] {
  const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...docs.map((name) => `docs/${name}`)].map(
    (path) => ({
      path,
      text: readFileSync(join(ROOT, path), 'utf8'),
    }),
  );
}

/** @returns the fenced blocks of a page, in order */
export function blocksOf({ path, text }: Page): Block[] {
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', content = '']) => ({
    page: path,
    language,
    content,
  }));
}

/**
 * @param begins the start of the block's first line
 * @returns the content of the one block of a page that begins so
 */
export function blockOf(path: string, begins: string): string {
  const page = { path, text: readFileSync(join(ROOT, path), 'utf8') };
  const found = blocksOf(page).filter(({ content }) => content.startsWith(begins));
  if (found.length !== 1) throw new Error(`${path} has ${found.length} blocks that begin "${begins}"`);
  return (found[0] as Block).content;
}

const FIELDS = /^(?:@\w+|(?:\S+\s+){4}\S+)\s+\S+\s+/;

/**
 * Cuts shell text into simple commands: at `;`, `&&`, `|`, parentheses and ends of lines, outside of quotes. Comments,
 * redirections and assignments in front are left out; substitutions stay as they are.
 * @returns the words of each command, without their quotes
 */
export function simpleCommands(text: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | undefined;
  const endWord = (): void => {
    if (word !== undefined) words.push(word);
    word = undefined;
  };
  const endCommand = (): void => {
    endWord();
    while (/^[A-Z_]+=/.test(words[0] ?? '')) words.shift();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === '\\') {
      i++;
      if (text[i] !== '\n') word = (word ?? '') + text[i];
    } else if (char === "'" || char === '"') {
      const end = text.indexOf(char, i + 1);
      if (end === -1) throw new Error(`an unclosed quote: ${text}`);
      word = (word ?? '') + text.slice(i + 1, end);
      i = end;
    } else if (char === '#' && word === undefined) {
      const end = text.indexOf('\n', i);
      i = end === -1 ? text.length : end - 1;
    } else if (char === '>' || char === '<') {
      // what is redirected, and where to, is no argument
      if (/^\d?$/.test(word ?? '')) word = undefined;
      endWord();
      const target = /^[>&]?\s*("[^"]*"|[^\s;|&()]*)/.exec(text.slice(i + 1));
      i += target?.[0].length ?? 0;
    } else if (';|&()\n'.includes(char)) endCommand();
    else if (/\s/.test(char)) endWord();
    else word = (word ?? '') + char;
  }
  endCommand();
  return commands;
}

/** @returns the simple commands of a block that has some: shell, a session with prompts, a crontab, a synopsis */
export function commandsOf({ language, content }: Block): string[][] {
  const lines = content.split('\n');
  switch (language) {
    case 'sh':
      return simpleCommands(content);
    case 'console':
      return lines.filter((line) => line.startsWith('$ ')).flatMap((line) => simpleCommands(line.slice(2)));
    case 'crontab':
      return lines
        .filter((line) => FIELDS.test(line) && !line.startsWith('#'))
        .flatMap((line) => simpleCommands(line.replace(FIELDS, '')));
    case 'usage':
      return lines.flatMap((line) => {
        // what it does stands two blanks behind it; options that are named there are the command's
        const [command = '', ...rest] = line.split(/ {2,}/);
        const options = rest.join(' ').match(/(?<=[(\s])--[a-z][^)]*(?=\))/)?.[0] ?? '';
        return simpleCommands(`${command.replace(/[[\]]/g, '')} ${options}`.trim());
      });
    default:
      return [];
  }
}
