// Names of tables and their like, as standard SQL writes them; MySQL has quotes of its own.
import { escapeControls } from '../../lib/text.ts';

/** @returns a text as a name in SQL */
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** @returns a list for an error, not too long */
export const listed = (names: readonly string[]): string =>
  `${names.slice(0, 20).map(escapeControls).join(', ')}${names.length > 20 ? ' …' : ''}`;
