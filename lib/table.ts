// Tables for people, as plain text.

/**
 * @param rows one cell for each title, their text safe to print
 * @returns lines, columns aligned to the left by spaces
 */
export function formatTable(head: string[], rows: string[][]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] as string).length)),
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
