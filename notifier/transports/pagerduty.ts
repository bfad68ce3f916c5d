// PagerDuty, by its Events API v2: trouble opens an incident, one for each name on each host; the first run that is well
// resolves it.
import { HTTP_SETTINGS, httpUrl, json, openHttp, token } from '../http.ts';
import { type Message, subjectOf } from '../message.ts';
import { cutEnd, shortTextOf } from '../short-text.ts';
import { defineTransport } from '../transport.ts';

/** By https://developer.pagerduty.com/docs/send-alert-event; an event in all may have 512 KB. */
const LONGEST_KEY = 255;
const LONGEST_SUMMARY = 1024;
const LONGEST_DETAILS = 60_000;

const SEVERITIES: Record<Message['result'], string> = {
  OK: 'info',
  WARNINGS: 'warning',
  LOCKED: 'warning',
  FAILED: 'error',
  MISSED: 'error',
};

export default defineTransport({
  settings: {
    NOTIFY_PAGERDUTY_KEY: {
      parse: token,
      secret: true,
      describe: 'the integration key of a service in PagerDuty (Events API v2)',
    },
    NOTIFY_PAGERDUTY_URL: {
      parse: httpUrl,
      default: 'https://events.pagerduty.com/v2/enqueue',
      describe: 'where PagerDuty takes events; https://events.eu.pagerduty.com/v2/enqueue in its EU region',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const key = values.NOTIFY_PAGERDUTY_KEY;
    if (key === undefined) return undefined;
    const service = openHttp('PagerDuty', values.NOTIFY_PAGERDUTY_URL, 'NOTIFY_PAGERDUTY_KEY', values);
    return {
      to: service.host,
      // yesterday's trouble must not open again what today has resolved
      newestOnly: true,
      async send(message, signal) {
        const { result, name, host, time } = message;
        const body = json({
          routing_key: key,
          event_action: result === 'OK' ? 'resolve' : 'trigger',
          dedup_key: cutEnd(`garner ${name} on ${host}`, LONGEST_KEY),
          client: 'garner',
          payload: {
            summary: cutEnd(subjectOf(message), LONGEST_SUMMARY),
            source: host,
            severity: SEVERITIES[result],
            timestamp: time,
            component: name,
            class: result,
            custom_details: { message: shortTextOf(message, LONGEST_DETAILS), id: message.id },
          },
        });
        const answer = await service.send({ body }, signal);
        if (!/"status":\s*"success"/.test(answer)) throw service.refused(answer);
        return [];
      },
    };
  },
});
