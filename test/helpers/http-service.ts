// An HTTP service on loopback that a test decides for: it keeps each request and answers as it is told to. With `tls` it
// is one over HTTPS; makeCertificates of smtp-server.ts has certificates for it.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface ServiceRequest {
  method: string;
  /** Path and query. */
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface ServiceAnswer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

/** What it does with a request; a checker of a service throws where that service would refuse. */
export type Respond = (request: ServiceRequest, response: ServerResponse) => ServiceAnswer | 'nothing';

export interface HttpServiceUnderTest extends AsyncDisposable {
  /** `http://127.0.0.1:1234`, without a slash. */
  url: string;
  port: number;
  requests: ServiceRequest[];
  /** May be changed between two requests; `nothing` leaves the answer to who has the response. */
  respond: Respond;
}

/** Starts a service on a free port of 127.0.0.1. */
export async function startHttpService(
  respond: Respond,
  tls?: { key: string; cert: string },
): Promise<HttpServiceUnderTest> {
  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { method = '', url: path = '', headers } = incoming;
    const request = { method, path, headers, body: Buffer.concat(chunks).toString() };
    service.requests.push(request);
    const answer = service.respond(request, response);
    if (answer === 'nothing') return;
    response.writeHead(answer.status, answer.headers).end(answer.body);
  };
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const service: HttpServiceUnderTest = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    requests: [],
    respond,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return service;
}
