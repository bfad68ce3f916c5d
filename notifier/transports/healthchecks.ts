// Healthchecks, hosted or one's own: each run is told when it begins and when it ends, so that the service notices one
// that never ran, hangs or takes too long. What was sent in one run has one id.
import { HTTP_SETTINGS, openHttp, plain, secretUrl } from '../http.ts';
import { type Message, subjectOf } from '../message.ts';
import { shortTextOf } from '../short-text.ts';
import { defineTransport } from '../transport.ts';

/** By https://healthchecks.io/docs/attaching_logs/: the service keeps the first 100 kB. */
const LONGEST_BYTES = 100_000;

/** https://healthchecks.io/docs/http_api/ */
type Signal = 'start' | 'success' | 'fail' | 'log';

/** What ran and made no backup has failed, another run's lock included; what is about no run changes no state. */
function signalOf({ result, run }: Message): Signal {
  if (result === 'MISSED') return 'fail';
  if (run === undefined) return 'log';
  return result === 'OK' || result === 'WARNINGS' ? 'success' : 'fail';
}

export default defineTransport({
  everyRun: true,
  settings: {
    NOTIFY_HEALTHCHECKS_URL: {
      parse: secretUrl,
      secret: true,
      describe:
        'the ping URL of a check, `https://hc-ping.com/<uuid>` or of a server of your own; one check for each application, so it belongs into `agent-<application>.env`',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const url = values.NOTIFY_HEALTHCHECKS_URL;
    if (url === undefined) return undefined;
    const service = openHttp('Healthchecks', url, 'NOTIFY_HEALTHCHECKS_URL', values);
    const ping = async (
      signalled: Signal,
      rid: string,
      content: string,
      signal: AbortSignal,
    ): Promise<void> => {
      const address = new URL(url);
      if (signalled !== 'success') address.pathname = `${url.pathname.replace(/\/$/, '')}/${signalled}`;
      address.searchParams.set('rid', rid);
      const answer = await service.send({ url: address, body: plain(content) }, signal);
      // an unknown check and too many pings are answered with 200 as well; `Created`: by ?create=1
      if (!/^(OK|Created)$/.test(answer.trim())) throw service.refused(answer);
    };
    return {
      to: `a check at ${service.host}`,
      started: ({ id }, signal) => ping('start', id, '', signal),
      async send(message, signal) {
        const subject = `${subjectOf(message)}\n\n`;
        const rest = shortTextOf(message, LONGEST_BYTES - Buffer.byteLength(subject), 'bytes');
        await ping(signalOf(message), message.run?.id ?? message.id, subject + rest, signal);
        return [];
      },
    };
  },
});
