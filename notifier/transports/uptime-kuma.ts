// A push monitor of Uptime Kuma: each run is one heartbeat, up or down, with its duration; the monitor notices a run that
// never was.
import { HTTP_SETTINGS, openHttp, secretUrl } from '../http.ts';
import { defineTransport } from '../transport.ts';

/** More is refused (server/routers/api-router.js of Uptime Kuma). */
const LONGEST_PING_MS = 86_400_000;

const pushUrl = (value: string): URL => {
  const url = secretUrl(value);
  if (!/\/api\/push\/[^/]+$/.test(url.pathname)) throw 'it is not https://host/api/push/<token>';
  return url;
};

export default defineTransport({
  everyRun: true,
  settings: {
    NOTIFY_UPTIME_KUMA_URL: {
      parse: pushUrl,
      secret: true,
      describe:
        'the push URL of a monitor, `https://host/api/push/<token>`; one monitor for each application, so it belongs into `agent-<application>.env`',
    },
    ...HTTP_SETTINGS,
  },
  open(values) {
    const url = values.NOTIFY_UPTIME_KUMA_URL;
    if (url === undefined) return undefined;
    const service = openHttp('Uptime Kuma', url, 'NOTIFY_UPTIME_KUMA_URL', values);
    return {
      to: `a monitor at ${service.host}`,
      async send({ id, result, name, host, summary, run }, signal) {
        const address = new URL(url);
        const ping = run === undefined ? '' : `${Math.min(Math.round(run.durationMs), LONGEST_PING_MS)}`;
        const query = {
          status: result === 'OK' || result === 'WARNINGS' ? 'up' : 'down',
          msg: `${result} ${name} on ${host}: ${summary} (${id})`,
          ping,
        };
        for (const [key, value] of Object.entries(query)) address.searchParams.set(key, value);
        const answer = await service.send({ url: address }, signal);
        if (!/"ok":\s*true/.test(answer)) throw service.refused(answer);
        return [];
      },
    };
  },
});
