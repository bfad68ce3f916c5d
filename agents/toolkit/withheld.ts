// The gate of completeness: what a restore needs and the archive leaves out on purpose is named by everybody who tells of the
// archive, or with GARNER_STRICT there is none. It is no warning: that would come every night.
import type { Warning } from '../../archive/manifest.ts';
import { cannot, causeText } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { escapeControls } from '../../lib/text.ts';
import type { AgentContext, AgentDefinition, Withheld } from './define-agent.ts';

/**
 * Asks the agent, before anything is dumped.
 * @throws withheld where there is something, with GARNER_STRICT
 */
export function gateOfCompleteness(
  agent: AgentDefinition,
  context: AgentContext,
  warnAbout: (warning: Warning) => void,
): Withheld[] {
  const strict = context.settings.GARNER_STRICT;
  let withheld: Withheld[];
  try {
    withheld = agent.withheld?.(context) ?? [];
  } catch (error) {
    if (strict) throw error;
    const message = `what the archive leaves out on purpose is unknown: ${causeText(error)}`;
    warnAbout({ code: 'withheld-unknown', message });
    return [];
  }
  for (const { what, remedy } of withheld) info(`left out on purpose: ${what} (${remedy})`);
  if (!strict || withheld.length === 0) return withheld;
  const names = withheld.map(({ what }) => what).join(', ');
  throw cannot('withheld', 'back up', agent.title, `a restore needs what is left out on purpose: ${names}`, {
    hint: withheld.map(({ what, remedy }) => `${what}: ${remedy}`).join('; '),
  });
}

/** @returns it as lines for people; none where there is nothing */
export function withheldLines(withheld: readonly Withheld[]): string[] {
  if (withheld.length === 0) return [];
  return [
    'Not in the archive, and needed for a restore:',
    ...withheld.map(({ what, remedy }) => `  ${escapeControls(what)}: ${escapeControls(remedy)}`),
  ];
}
