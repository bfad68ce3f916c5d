// Completion for bash, zsh and fish: commands, subcommands and options as they are declared; files elsewhere, and after `--`
// any command.
import type { Declaration } from './declarations.ts';

/** @returns each command and subcommand, deepest last */
function flat(all: readonly Declaration[]): Declaration[] {
  return all.flatMap((one) => [one, ...flat(one.commands)]);
}

const optionNames = (one: Declaration): string[] => one.options.flatMap(({ names }) => names);
const last = (one: Declaration): string => one.words.at(-1) as string;
const commandNames = (all: readonly Declaration[]): string => all.map(({ words }) => words[0]).join(' ');

export function bashCompletion(all: readonly Declaration[]): string {
  const cases = flat(all).map((one) => {
    const words = [...one.commands.map(last), ...optionNames(one)].join(' ');
    const withValue = one.options.filter(({ takesValue }) => takesValue).flatMap(({ names }) => names);
    return `    '${one.words.join(' ')}') words='${words}' with_value=' ${withValue.join(' ')} ' ;;`;
  });
  return `# bash completion of garner's commands
_garner_words() {
  case $1 in
${cases.join('\n')}
    *) return 1 ;;
  esac
}

_garner() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} words with_value path index
  path=\${COMP_WORDS[0]##*/}
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    if [[ \${COMP_WORDS[index]} == -- ]]; then
      if ((index + 1 == COMP_CWORD)); then mapfile -t COMPREPLY < <(compgen -c -- "$current"); fi
      return
    fi
    # \`garner archiver pull\` is \`archiver pull\`
    if [[ $path == garner ]] && _garner_words "\${COMP_WORDS[index]}"; then
      path=\${COMP_WORDS[index]}
    elif _garner_words "$path \${COMP_WORDS[index]}"; then
      path="$path \${COMP_WORDS[index]}"
    fi
  done
  _garner_words "$path" || return
  [[ $with_value == *" $previous "* ]] && return
  [[ $path == garner ]] && words="$words ${commandNames(all.filter(({ words }) => words[0] !== 'garner'))}"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _garner ${commandNames(all)}
`;
}

export function zshCompletion(all: readonly Declaration[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const described = (name: string, text: string): string => quote(`${name}:${text.replaceAll('\n', ' ')}`);
  const cases = flat(all).map((one) => {
    const entries = [
      ...one.commands.map((command) => described(last(command), command.summary)),
      ...one.options.flatMap(({ names, description }) => names.map((name) => described(name, description))),
    ];
    return `    ${quote(one.words.join(' '))}) entries=(${entries.join(' ')}) ;;`;
  });
  return `#compdef ${commandNames(all)}
_garner_entries() {
  case $1 in
${cases.join('\n')}
    *) return 1 ;;
  esac
}

_garner() {
  local path_=\${words[1]:t} index
  local -a entries
  for ((index = 2; index < CURRENT; index++)); do
    if [[ $words[index] == -- ]]; then
      shift $index words
      ((CURRENT -= index))
      _normal
      return
    fi
    if [[ $path_ == garner ]] && _garner_entries $words[index]; then
      path_=$words[index]
    elif _garner_entries "$path_ $words[index]"; then
      path_="$path_ $words[index]"
    fi
  done
  _garner_entries $path_
  [[ $path_ == garner ]] && entries+=(${commandNames(all.filter(({ words }) => words[0] !== 'garner'))})
  _describe -o garner entries || _files
}
_garner "$@"
`;
}

export function fishCompletion(all: readonly Declaration[]): string {
  const quote = (text: string): string => `'${text.replace(/[\\']/g, '\\$&').replaceAll('\n', ' ')}'`;
  const lines = all.flatMap((command) => {
    const [name] = command.words as [string];
    const names = command.commands.map(last);
    const top = names.length > 0 ? ` -n ${quote(`not __fish_seen_subcommand_from ${names.join(' ')}`)}` : '';
    return [
      ...command.commands.map((one) => `complete -c ${name}${top} -a ${last(one)} -d ${quote(one.summary)}`),
      ...optionLines(command, top),
      ...command.commands.flatMap((one) => {
        const inside = ` -n ${quote(`__fish_seen_subcommand_from ${last(one)}`)}`;
        const deeper = one.commands.map(
          (sub) => `complete -c ${name}${inside} -a ${last(sub)} -d ${quote(sub.summary)}`,
        );
        return [...deeper, ...optionLines(one, inside)];
      }),
    ];
  });
  function optionLines(one: Declaration, condition: string): string[] {
    return one.options.flatMap(({ names, takesValue, description }) =>
      names
        .filter((option) => option.startsWith('--'))
        .map(
          (option) =>
            `complete -c ${one.words[0]}${condition} -l ${option.slice(2)}${takesValue ? ' -r' : ''} -d ${quote(description)}`,
        ),
    );
  }
  return `# fish completion of garner's commands\n${lines.join('\n')}\n`;
}
