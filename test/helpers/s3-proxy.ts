// An HTTP proxy on the loopback in front of an object storage: passes requests on as they are, so that their signatures hold, and
// breaks those that a test names. It remembers what was asked.
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  /** As the protocol has them: `PutObject`, `UploadPart`, …, by method and query. */
  operation: string;
  /** Path and query. */
  url: string;
  bodyBytes: number;
}

interface Refusal {
  status: number;
  code: string;
  message?: string;
}

/** What happens to a request instead of being answered. */
export type Fault =
  | Refusal
  /** The connection breaks when so many bytes of the answer's body have gone to the client. */
  | { cutAnswerAfter: number }
  /** The server does what it is asked, and the answer is lost. */
  | 'lose-answer'
  /** A byte of the request's body arrives as another one. */
  | 'damage'
  /** The request is taken, and nothing comes of it. */
  | 'swallow'
  /** The connection breaks while the request's body comes. */
  | 'reset';

export interface S3Proxy extends AsyncDisposable {
  readonly endpoint: string;
  /** All that was asked, in order. */
  readonly asked: Asked[];
  /** Breaks requests from now on; undefined from the function: none. */
  breakWith(fault: (asked: Asked, earlier: number) => Fault | undefined): void;
}

/** @param target the endpoint behind it */
export async function startS3Proxy(target: string): Promise<S3Proxy> {
  const asked: Asked[] = [];
  let choose: (asked: Asked, earlier: number) => Fault | undefined = () => undefined;
  const server = createServer((from, to) => {
    from.on('error', () => {});
    to.on('error', () => {});
    const now: Asked = { operation: operationOf(from), url: from.url ?? '', bodyBytes: 0 };
    const fault = choose(now, asked.filter(({ operation }) => operation === now.operation).length);
    asked.push(now);
    from.on('data', (chunk: Buffer) => {
      now.bodyBytes += chunk.length;
    });
    if (fault === 'swallow') return void from.resume();
    if (fault === 'reset') {
      from.once('data', () => from.socket.resetAndDestroy());
      return;
    }
    if (typeof fault === 'object' && 'status' in fault) {
      from.resume().once('end', () => refuse(to, fault));
      return;
    }
    forward(target, from, to, fault);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    breakWith(fault) {
      asked.length = 0;
      choose = fault;
    },
    [Symbol.asyncDispose]: () => stop(server),
  };
}

function operationOf({ method, url = '' }: IncomingMessage): string {
  const { pathname, searchParams } = new URL(url, 'http://proxy');
  const isObject = pathname.split('/').length > 2 && !pathname.endsWith('/');
  if (searchParams.has('partNumber') && method === 'PUT') return 'UploadPart';
  if (searchParams.has('uploads'))
    return method === 'POST' ? 'CreateMultipartUpload' : 'ListMultipartUploads';
  if (searchParams.has('uploadId')) {
    return { POST: 'CompleteMultipartUpload', DELETE: 'AbortMultipartUpload' }[method ?? ''] ?? 'ListParts';
  }
  if (searchParams.has('list-type')) return 'ListObjects';
  if (!isObject) return `${method} bucket`;
  return (
    { PUT: 'PutObject', GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' }[method ?? ''] ?? '?'
  );
}

function refuse(to: ServerResponse, { status, code, message = 'broken by the test' }: Refusal): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  to.writeHead(status, { 'Content-Type': 'application/xml', 'Content-Length': body.length });
  to.end(body);
}

function forward(target: string, from: IncomingMessage, to: ServerResponse, fault: Fault | undefined): void {
  const { method, url } = from;
  const away = request(target + url, { method, headers: from.headers, setHost: false }, (answer) => {
    if (fault === 'lose-answer') {
      answer.resume().once('end', () => to.socket?.resetAndDestroy());
      return;
    }
    to.writeHead(answer.statusCode ?? 500, answer.rawHeaders);
    if (fault === undefined || fault === 'damage') return void answer.pipe(to);
    let leftBytes = (fault as { cutAnswerAfter: number }).cutAnswerAfter;
    answer.on('data', (chunk: Buffer) => {
      if (leftBytes <= 0) return;
      to.write(chunk.subarray(0, leftBytes));
      leftBytes -= chunk.length;
      // what was written is to arrive before
      if (leftBytes <= 0) setImmediate(() => to.socket?.end());
    });
  });
  away.on('error', () => to.socket?.destroy());
  if (fault !== 'damage') return void from.pipe(away);
  from.once('data', (chunk: Buffer) => {
    chunk[chunk.length - 1] = (chunk.at(-1) as number) ^ 1;
  });
  from.pipe(away);
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
