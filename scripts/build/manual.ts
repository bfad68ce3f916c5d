// Pages of the manual, one for each command with all its subcommands, in the language of man(7).

import { EXIT } from '../../lib/errors.ts';
import own from '../../package.json' with { type: 'json' };
import type { Declaration } from './declarations.ts';

/**
 * @param all every command there is
 * @param time of the build
 * @returns the page of one
 */
export function manualPage(one: Declaration, all: readonly Declaration[], time: Date): string {
  const [name] = one.words as [string];
  const others = all.map(({ words }) => words[0] as string).filter((other) => other !== name);
  const related = name.startsWith('agent-')
    ? ['garner', 'notify']
    : others.filter((other) => !other.startsWith('agent-'));
  const isNotify = name === 'notify';
  const lines = [
    `.TH ${name.toUpperCase()} 1 ${time.toISOString().slice(0, 10)} "garner ${own.version}" "garner"`,
    '.SH NAME',
    `${roff(name)} \\- ${roff(firstSentence(one.summary))}`,
    '.SH SYNOPSIS',
    ...synopsis(one),
    '.SH DESCRIPTION',
    roff(one.summary),
    ...terms(one.arguments.map((argument) => [argument.name, argument.description])),
    '.SH OPTIONS',
    ...options(one),
    ...(one.commands.length > 0 ? ['.SH COMMANDS', ...one.commands.flatMap(subcommand)] : []),
    '.SH EXIT STATUS',
    ...(isNotify
      ? [
          'That of the command. 125: notify itself failed; 126: the command could not be run; 127: it was not found.',
        ]
      : terms(Object.values(EXIT).map(({ code, meaning }) => [String(code), meaning]))),
    '.SH FILES',
    ...terms([
      ['/etc/garner/garner.env', 'settings of all commands'],
      ...(name.startsWith('agent-')
        ? [[`/etc/garner/${name}.env`, 'settings of this one'] as [string, string]]
        : []),
      ...(name === 'archiver'
        ? [['/etc/garner/archiver.yaml', 'hosts, retention, checks'] as [string, string]]
        : []),
      ...(name === 'bucket'
        ? [['/etc/garner/buckets.yaml', 'sets of buckets, retention'] as [string, string]]
        : []),
      ['/var/lib/garner', 'archives until they are fetched, and what is kept between runs'],
    ]),
    '.SH EXAMPLES',
    ...example(one.example),
    '.SH SEE ALSO',
    related.map((other) => `.BR ${roff(other)} (1)`).join(' ,\n'),
    '.PP',
    'The pages in /usr/share/doc/garner.',
  ];
  return `${lines.filter((line) => line !== '').join('\n')}\n`;
}

function subcommand(one: Declaration): string[] {
  return [
    `.SS ${roff(one.words.slice(1).join(' '))}`,
    ...synopsis(one),
    '.PP',
    roff(one.summary),
    ...terms(one.arguments.map((argument) => [argument.name, argument.description])),
    ...options(one),
    ...example(one.example),
    ...one.commands.flatMap(subcommand),
  ];
}

function synopsis({ words, usage }: Declaration): string[] {
  const forms = usage.split('\n').map((form) => form.trim().replace(new RegExp(`^${words.join(' ')} `), ''));
  return forms.flatMap((form, index) => [index > 0 ? '.br' : '', `.B ${roff(words.join(' '))}`, roff(form)]);
}

function options(one: Declaration): string[] {
  return terms(one.options.map(({ flags, description }) => [flags, description]));
}

function terms(pairs: [string, string][]): string[] {
  return pairs.flatMap(([term, meaning]) => ['.TP', `.B ${roff(term)}`, roff(meaning)]);
}

function example(text: string): string[] {
  return text === '' ? [] : ['.PP', '.nf', '.RS', ...text.split('\n').map(roff), '.RE', '.fi'];
}

function firstSentence(text: string): string {
  const sentence = /^.*?(?=[.:,]( |$)|$)/s.exec(text)?.[0] ?? text;
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
    .replace(
      /[^\x00-\x7f]/gu,
      (character) => `\\[u${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}
