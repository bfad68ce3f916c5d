// Tables for people, as plain text.

/**
 * @param rows one cell for each title, their text safe to print
 * @returns lines, columns aligned to the left by spaces
 */
export function formatTable(head: string[], rows: string[][]): string {
  const widths = head.map((title, column) =>
    rows.reduce((width, row) => Math.max(width, (row[column] as string).length), title.length),
  );
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
    .concat('\n');
}
