// A TCP proxy on the loopback that breaks connections: cuts them after so many bytes, or swallows everything.
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Bytes that have gone through, by direction, since the last {@link cutAfter}. */
  readonly passed: { toServer: number; toClient: number };
  /** Cuts every connection when so many bytes have gone that way; undefined: no more. */
  cutAfter(bytes: number | undefined, direction?: 'toServer' | 'toClient'): void;
  /** Keeps connections open and lets nothing through. */
  blackhole(): void;
}

/** Accepts and never speaks, sends a byte a second, or stops after so many bytes. */
export type Hanging = 'silent' | 'slow' | number;

/**
 * Makes many hosts of one server: the addresses of the loopback network, one port.
 * @param addresses those that forward to the server, but for those that hang
 * @returns the port
 */
export async function startTcpFleet(
  targetPort: number,
  addresses: readonly string[],
  hanging: ReadonlyMap<string, Hanging>,
): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  let port = 0;
  const servers: Server[] = [];
  for (const address of addresses) {
    const server = createServer((client) => {
      keep(client);
      const way = hanging.get(address);
      if (way === 'silent') return;
      if (way === 'slow') {
        const timer = setInterval(() => client.write('S'), 1000);
        client.on('close', () => clearInterval(timer));
        return;
      }
      const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
      keep(target);
      client.on('close', () => target.destroy());
      target.on('close', () => client.destroy());
      client.setNoDelay().pipe(target);
      let left = way ?? Number.POSITIVE_INFINITY;
      target.on('data', (chunk) => {
        client.write(chunk.subarray(0, Math.max(left, 0)));
        left -= chunk.length;
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, address, resolve);
    });
    port = (server.address() as { port: number }).port;
    servers.push(server);
  }
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const passed = { toServer: 0, toClient: 0 };
  let limit: { bytes: number; direction: 'toServer' | 'toClient' } | undefined;
  let silent = false;

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const cut = (): void => {
      client.destroy();
      target.destroy();
    };
    if (limit?.bytes === 0) return cut();
    const forward = (from: Socket, to: Socket, direction: 'toServer' | 'toClient'): void => {
      sockets.add(from);
      from.on('error', cut);
      from.on('close', () => {
        sockets.delete(from);
        cut();
      });
      from.on('end', () => {
        if (!silent) to.end();
      });
      from.on('data', (chunk) => {
        if (silent) return;
        const room = limit?.direction === direction ? limit.bytes - passed[direction] : chunk.length;
        const part = chunk.subarray(0, Math.max(room, 0));
        passed[direction] += part.length;
        if (part.length < chunk.length) to.end(part, cut);
        else to.write(part);
      });
    };
    forward(client, target, 'toServer');
    forward(target, client, 'toClient');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    passed,
    cutAfter(bytes, direction = 'toClient') {
      limit = bytes === undefined ? undefined : { bytes, direction };
      passed.toServer = 0;
      passed.toClient = 0;
    },
    blackhole() {
      silent = true;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
