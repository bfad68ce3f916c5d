// Bitbucket's maintenance lock, in this process against a server that behaves as Atlassian's own backup scripts use it: what
// is asked and in which order, what a refusal, a crash and a restart lead to, and that credentials go nowhere else.
import { createServer } from 'node:http';
import { describe, expect, it } from 'vitest';
import agent from '../../agents/bitbucket.ts';
import { GarnerError } from '../../lib/errors.ts';
import { redact } from '../../lib/redact.ts';
import {
  type BitbucketBehaviour,
  type BitbucketServer,
  startBitbucket,
} from '../helpers/bitbucket-server.ts';
import { freePort } from '../helpers/mariadb.ts';
import { makeCertificates } from '../helpers/smtp-server.ts';

const PASSWORD = `p&amp;%40'"\\ $x#;=ö`;

type Token = { state: string; unlockToken?: string };

/** What of the agent's context its lock asks for. */
function contextOf(server: { url: string }, settings: object = {}, signal = new AbortController().signal) {
  const account = { BITBUCKET_USER: 'backup', BITBUCKET_PASSWORD: PASSWORD, BITBUCKET_ALLOW_HTTP: false };
  return { settings: { BITBUCKET_BASE_URL: server.url, ...account, ...settings }, signal } as never;
}

const start = (behaviour: BitbucketBehaviour = {}): Promise<BitbucketServer> =>
  startBitbucket({ password: PASSWORD, ...behaviour });

async function begin(
  server: { url: string },
  settings?: object,
): Promise<{ tokens: Token[]; error?: GarnerError }> {
  const tokens: Token[] = [];
  try {
    await agent.quiet?.begin(contextOf(server, settings), (token) => tokens.push(token as Token));
    return { tokens };
  } catch (error) {
    if (error instanceof GarnerError) return { tokens, error };
    throw error;
  }
}

const end = (server: { url: string }, token: unknown, settings?: object) =>
  agent.quiet?.end(contextOf(server, settings), token);

const LOCKING = [
  'POST /mvc/maintenance/lock',
  'POST /mvc/admin/backups?external=true',
  'GET /mvc/maintenance',
];

describe('the maintenance lock', () => {
  it('is taken, waited for until all has come to rest, and given back with the progress at 100 %', async () => {
    await using server = await start({ polls: 2, contextPath: '/git' });
    const { tokens } = await begin({ url: `${server.url}/` });
    expect(tokens.map(({ state }) => state)).toEqual(['asked', 'locked', 'drained']);
    expect(tokens.at(-1)?.unlockToken).toBe(server.lockedBy);
    expect(redact(`${server.lockedBy}`)).toBe('[redacted]');
    await end(server, tokens.at(-1));
    expect(server.lockedBy).toBeUndefined();
    expect(server.asked).toEqual([
      ...[...LOCKING, 'GET /mvc/maintenance', 'GET /mvc/maintenance'],
      'POST /mvc/admin/backups/progress/client?token=UNLOCK&percentage=100',
      'DELETE /mvc/maintenance/lock?token=UNLOCK',
    ]);
  });

  it('takes an access token in place of an account', async () => {
    await using server = await start({ token: 'canary-token', polls: 0 });
    const token = {
      BITBUCKET_USER: undefined,
      BITBUCKET_PASSWORD: undefined,
      BITBUCKET_TOKEN: 'canary-token',
    };
    expect((await begin(server, token)).tokens).toHaveLength(3);
  });

  it('of somebody else is left alone, and fails the backup', async () => {
    await using server = await start();
    server.lock();
    const theirs = server.lockedBy;
    const { error, tokens } = await begin(server);
    expect(error?.message).toMatch(
      /cannot lock ".*": it is locked for maintenance by somebody else: The system/,
    );
    await end(server, tokens.at(-1));
    expect(server.lockedBy).toBe(theirs);
    expect(server.asked).toEqual(LOCKING.slice(0, 1));
  });

  it('is given back where it can not come to rest', async () => {
    await using server = await start({ drainFails: 'FAILED' });
    const { error, tokens } = await begin(server);
    expect(error?.message).toContain('does not come to rest (its backup is FAILED)');
    await end(server, tokens.at(-1));
    expect(server.lockedBy).toBeUndefined();
    expect(server.asked.at(-2)).toBe('GET /mvc/maintenance'); // not "100 %"
  });

  it('is found out where the answer with its token never came', async () => {
    let isCut = true;
    await using server = await start({
      instead(asked, response) {
        if (!isCut || asked !== LOCKING[0]) return false;
        response.socket?.destroy();
        return true;
      },
    });
    const { error, tokens } = await begin(server);
    expect(error).toMatchObject({ code: 'application-request' });
    expect(tokens).toEqual([{ state: 'asked' }]);
    await end(server, tokens[0]); // nothing was locked
    isCut = false;
    server.lock();
    await expect(end(server, tokens[0])).rejects.toThrow(/it may be locked, and its token is not known/);
  });

  it('that a restart has ended, or that is another by now, is nothing to undo', async () => {
    await using server = await start({ polls: 0 });
    const { tokens } = await begin(server);
    server.forget();
    await end(server, tokens.at(-1));
    server.lock();
    const theirs = server.lockedBy;
    await end(server, tokens.at(-1));
    expect(server.lockedBy).toBe(theirs);
  });

  it('that can not be given back is an error, so that the next start tries again', async () => {
    await using server = await start({
      polls: 0,
      instead: (asked, response) => asked.startsWith('DELETE') && !!response.writeHead(503).end(),
    });
    const { tokens } = await begin(server);
    await expect(end(server, tokens.at(-1))).rejects.toThrow(
      /cannot unlock ".*": it answers with status 503/,
    );
    const unset = { BITBUCKET_BASE_URL: undefined, BITBUCKET_USER: undefined, BITBUCKET_PASSWORD: undefined };
    await expect(end(server, tokens.at(-1), unset)).rejects.toThrow('no setting tells any more');
  });

  it('that a signal meets on its way is given back', async () => {
    const ended = new AbortController();
    await using server = await start({
      instead(asked) {
        if (asked === LOCKING[0]) ended.abort(new Error('ended by SIGTERM'));
        return false;
      },
    });
    const tokens: Token[] = [];
    const begun = agent.quiet?.begin(contextOf(server, {}, ended.signal), (token) =>
      tokens.push(token as Token),
    );
    await expect(begun).rejects.toThrow('ended by SIGTERM');
    await end(server, tokens.at(-1));
    expect(server.asked).toEqual([LOCKING[0], 'DELETE /mvc/maintenance/lock?token=UNLOCK']);
    expect(server.lockedBy).toBeUndefined();
  });

  it('is waited for no longer than the run lasts', async () => {
    await using server = await start({ polls: 1e9 });
    const ended = new AbortController();
    const begun = agent.quiet?.begin(contextOf(server, {}, ended.signal), (token) => {
      if ((token as Token).state === 'locked')
        setTimeout(() => ended.abort(new Error('ended by SIGTERM')), 20);
    });
    await expect(begun).rejects.toThrow();
    expect(server.lockedBy).toBeDefined();
  });

  it.each([
    [401, /it does not know the account/],
    [403, /has to be a system administrator/],
    [404, /is the address right\?/],
    [500, /it answers with status 500/],
    [200, /it answers with status 200/], // a page for people
  ])('that is answered with status %i says why it was not taken', async (status, message) => {
    await using server = await start({
      instead: (asked, response) =>
        asked.startsWith('POST') && !!response.writeHead(status).end('<html>canary</html>'),
    });
    const { error } = await begin(server);
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('canary');
  });
});

describe('credentials', () => {
  it('follow no redirect', async () => {
    let strangers = 0;
    const stranger = createServer((_, response) => {
      strangers += 1;
      response.end('{}');
    });
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    const { port } = stranger.address() as { port: number };
    await using server = await start({
      instead: (_, response) => !!response.writeHead(307, { location: `http://localhost:${port}/` }).end(),
    });
    const { error } = await begin(server);
    stranger.close();
    expect(error?.message).toContain('it redirects to elsewhere');
    expect(strangers).toBe(0);
  });

  it.each([
    ['http://git.example.org', /would go to git\.example\.org in the clear/, /BITBUCKET_ALLOW_HTTP=true/],
    ['http://127.0.0.1.example.org', /in the clear/, /https/],
    ['ftp://git.example.org', /no plain http or https URL/, undefined],
    ['https://git.example.org/?x=1', /no plain http or https URL/, undefined],
    ['https://ada:pw@git.example.org', /it has an account in it/, /BITBUCKET_PASSWORD_FILE/],
    ['git.example.org', /it is no URL/, undefined],
  ])('are not sent to %s', async (url, message, hint) => {
    const { error, tokens } = await begin({ url });
    expect(error).toMatchObject({ code: 'configuration' });
    expect(error?.message).toMatch(message);
    if (hint) expect(error?.hint).toMatch(hint);
    expect(tokens).toEqual([]);
  });

  it('are asked for with an address, and the address with them; without both there is no lock', async () => {
    const none = { BITBUCKET_USER: undefined, BITBUCKET_PASSWORD: undefined };
    expect((await begin({ url: 'https://git.example.org' }, none)).error?.message).toContain(
      'it needs an account',
    );
    const alone = await begin({ url: undefined as unknown as string });
    expect(alone.error?.message).toContain('BITBUCKET_BASE_URL": it is not set');
    expect(await begin({ url: undefined as unknown as string }, none)).toEqual({ tokens: [] });
  });

  it('are not sent where the certificate is by nobody whom the host trusts', async () => {
    await using server = await start({ certificate: await makeCertificates() });
    const { error } = await begin(server);
    expect(error?.message).toMatch(/cannot ask \(POST\) "https:.*": unable to verify the first certificate/);
    expect(error?.hint).toContain('update-ca-certificates');
    expect(server.asked).toEqual([]);
  });

  it('stand in no message of a server that can not be reached', async () => {
    const port = await freePort();
    const { error } = await begin({ url: `http://127.0.0.1:${port}` });
    const where = `http://127.0.0.1:${port}/mvc/maintenance/lock`;
    expect(error?.message).toBe(`cannot ask (POST) "${where}": connection refused`);
  });
});
