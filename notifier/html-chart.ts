// The last runs as bars in a mail. Nested tables, whose cells have heights and colours, are what all mail programs draw:
// pictures from elsewhere are blocked, inline SVG and data: URLs are removed by many, attached pictures look like attachments,
// and a picture can't follow a dark ground.
import { formatMinute } from '../lib/text.ts';
import { type Bar, captionOf, formatOf, MARKS, type Series, topOf } from './chart.ts';

const HEIGHT_PX = 56;
/** No bar is wider, with the gap beside it. */
const BAR_PX = 18;
const MARK_PX = 15;
/** Seen on white and on black; white on it has a contrast of at least 4.5. */
const COLOURS: Record<Bar['result'], string> = {
  ok: '#1a7f37',
  warnings: '#9a6700',
  failed: '#c62828',
  missed: '#c62828',
  locked: '#6e7781',
};

/** @returns a chart as HTML; nothing in it is foreign text */
export function htmlChart(series: Series): string {
  const { bars } = series;
  const top = topOf(bars);
  const caption = captionOf(series);
  const cells = bars.map((bar) => {
    const { result, value, startedAt } = bar;
    const title = `${formatMinute(startedAt)}: ${value === null ? result : `${formatOf(series.of)(value)}${result === 'ok' ? '' : `, ${result}`}`}`;
    return `<td valign="bottom" title="${title}" style="vertical-align:bottom;padding:0 1px">${barOf(bar, top)}</td>`;
  });
  return `<div style="margin-top:16px"><div style="font-size:13px;padding-bottom:6px">${caption}</div>
<table role="img" aria-label="${caption}" cellpadding="0" cellspacing="0" style="width:100%;max-width:${bars.length * BAR_PX}px;table-layout:fixed;border-collapse:collapse;border-bottom:1px solid #888888"><tr style="height:${HEIGHT_PX}px">
${cells.join('\n')}
</tr></table></div>`;
}

function barOf({ result, value }: Bar, top: number): string {
  const isMark = value === null;
  // what is more than nothing is seen
  const heightPx = isMark ? MARK_PX : value === 0 ? 1 : Math.max(2, Math.round((value / top) * HEIGHT_PX));
  const text = isMark ? MARKS[result] : '&nbsp;';
  const font = isMark ? `font-size:11px;line-height:${MARK_PX}px` : 'font-size:0;line-height:0';
  return `<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td height="${heightPx}" align="center" bgcolor="${COLOURS[result]}" style="height:${heightPx}px;background:${COLOURS[result]};color:#ffffff;${font}">${text}</td></tr></table>`;
}
