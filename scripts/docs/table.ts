// What generated pages have in common.

export const GENERATED = '<!-- Written by `make docs` from the code: do not edit. -->';

/** @returns a table in Markdown */
export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
