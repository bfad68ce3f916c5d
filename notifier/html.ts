// A message as HTML for mail programs: one column, styles inline, nothing loaded from anywhere, readable on a light
// and on a dark ground.
import { htmlChart } from './html-chart.ts';
import { gapOf, type Message, subjectOf, type Table } from './message.ts';

/** White text on these has a contrast of at least 4.5. */
export const COLOURS: Record<Message['result'], string> = {
  OK: '#1a7f37',
  WARNINGS: '#9a6700',
  FAILED: '#c62828',
  LOCKED: '#9a6700',
  MISSED: '#c62828',
};

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** @returns text that can't become markup, in an element or an attribute */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] as string);
}

const MONO = 'font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px';
// no colour of its own for text and ground: the mail program's dark mode turns both
const PRE = `${MONO};white-space:pre-wrap;overflow-wrap:anywhere;margin:0;padding:12px;border:1px solid #8888;border-radius:6px`;

/** @returns the message as a whole HTML document */
export function htmlOf(message: Message): string {
  const { result, name, host, summary, facts, table, series, log } = message;
  const rows = facts.map(
    ({ label, value }) =>
      `<tr><th style="text-align:left;vertical-align:top;padding:3px 16px 3px 0;font-weight:600;white-space:nowrap">${escapeHtml(label)}</th>` +
      `<td style="padding:3px 0;overflow-wrap:anywhere">${escapeHtml(value).replaceAll('\n', '<br>')}</td></tr>`,
  );
  const parts: string[] = [];
  if (log !== undefined) {
    parts.push('<h2 style="font-size:15px;margin:24px 0 8px">Log</h2>');
    parts.push(`<pre style="${PRE}">${escapeHtml(log.head.trimEnd() || '(nothing was printed)')}</pre>`);
    if (log.leftOutBytes > 0) {
      parts.push(`<p style="margin:8px 0;text-align:center">${escapeHtml(gapOf(log))}</p>`);
      parts.push(`<pre style="${PRE}">${escapeHtml(log.tail.trimEnd())}</pre>`);
    }
  }
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<style>:root{color-scheme:light dark}</style><title>${escapeHtml(subjectOf(message))}</title></head>
<body style="margin:0;padding:16px;font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-size:15px;line-height:1.45">
<div style="max-width:760px;margin:0 auto">
<div style="background:${COLOURS[result]};color:#ffffff;padding:14px 16px;border-radius:6px">
<div style="font-size:18px;font-weight:700">${escapeHtml(`${result}: ${name} on ${host}`)}</div>
<div style="overflow-wrap:anywhere">${escapeHtml(summary)}</div></div>
${series === undefined ? '' : htmlChart(series)}
${table === undefined ? '' : htmlTable(table)}
<table style="border-collapse:collapse;margin-top:16px;width:100%">${rows.join('\n')}</table>
${parts.join('\n')}
</div></body></html>
`;
}

/** It scrolls by itself where it is wider than a telephone. */
function htmlTable({ head, rows }: Table): string {
  const cell = (tag: 'th' | 'td', text: string): string =>
    `<${tag} style="text-align:left;padding:5px 16px 5px 0;white-space:nowrap;border-bottom:1px solid #8888">${escapeHtml(text)}</${tag}>`;
  const lines = [
    head.map((title) => cell('th', title)),
    ...rows.map((row) => row.map((text) => cell('td', text))),
  ];
  return `<div style="overflow-x:auto;margin-top:16px"><table style="border-collapse:collapse">${lines
    .map((cells) => `<tr>${cells.join('')}</tr>`)
    .join('\n')}</table></div>`;
}
