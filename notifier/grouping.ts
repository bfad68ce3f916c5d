// Many messages with one result and one cause become one: fifty hosts behind a switch that is off are one line, not
// fifty mails.
import { plural } from '../lib/text.ts';
import { kindOfCause } from './cause.ts';
import { type Fact, type Message, makeMessage } from './message.ts';

const LONGEST_CAUSE = 90;
const LONGEST_NAMES = 70;
/** What a subject has no room for is listed, up to so many. */
const MOST_LISTED = 200;

/**
 * @param host who says so, where a group is about several hosts
 * @returns a message for each group, in the order in which the groups began; what stands alone stays as it is
 */
export function groupMessages(messages: readonly Message[], host: string): Message[] {
  const groups = Map.groupBy(messages, (message) =>
    JSON.stringify([message.result, message.level, kindOfCause(message.summary, message.host)]),
  );
  return [...groups.values()].map((group) =>
    group.length === 1 ? (group[0] as Message) : oneOf(group as [Message, ...Message[]], host),
  );
}

function oneOf(group: [Message, ...Message[]], reporter: string): Message {
  const [first] = group;
  const hosts = [...new Set(group.map(({ host }) => host))];
  const names = [...new Set(group.map(({ name }) => name))];
  const isSame = group.every(({ summary }) => summary === first.summary);
  const cause = cut(isSame ? first.summary : kindOfCause(first.summary, first.host), LONGEST_CAUSE);
  const listed = group
    .slice(0, MOST_LISTED)
    .map(({ host, name, summary }) =>
      [hosts.length > 1 ? `${host}: ${name}` : name, ...(isSame ? [] : [summary])].join(': '),
    );
  if (group.length > MOST_LISTED) listed.push(`… and ${group.length - MOST_LISTED} more`);
  const about = {
    result: first.result,
    level: first.level,
    facts: [{ label: 'Concerns', value: listed.join('\n') }, ...commonFacts(group)],
  };
  if (hosts.length > 1) {
    return makeMessage({
      ...about,
      name: names.length === 1 ? first.name : plural(names.length, 'application'),
      host: reporter,
      summary: `${plural(hosts.length, 'host')}: ${cause}: ${some(hosts)}`,
    });
  }
  return makeMessage({
    ...about,
    name: names.length === 1 ? first.name : plural(names.length, 'application'),
    host: first.host,
    summary: names.length === 1 ? `${cause}, ${group.length} times` : `${cause}: ${some(names)}`,
  });
}

/** @returns the facts that are the same for all */
function commonFacts([first, ...others]: [Message, ...Message[]]): Fact[] {
  return first.facts.filter((fact) =>
    others.every(({ facts }) =>
      facts.some(({ label, value }) => label === fact.label && value === fact.value),
    ),
  );
}

/** @returns `web1, web2, … and 40 more` */
function some(names: readonly string[]): string {
  let count = 1;
  while (count < names.length && names.slice(0, count + 1).join(', ').length <= LONGEST_NAMES) count += 1;
  const shown = names.slice(0, count).join(', ');
  return count === names.length ? shown : `${shown}, … and ${names.length - count} more`;
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1).toWellFormed()}…`;
}
