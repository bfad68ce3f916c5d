// An SFTP server that lies: it lets anybody in and answers as the test says.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import ssh2, { type SFTPWrapper } from 'ssh2';

export interface HostileAttributes {
  mode: number;
  size: number;
  uid?: number;
  gid?: number;
  atime?: number;
  mtime?: number;
}

export interface Behaviour {
  /** The names of each batch of a listing; undefined ends it. */
  names?: (batch: number) => string[] | undefined;
  /** What everything looks like. */
  attributes?: Partial<HostileAttributes>;
  /** Answers a read; undefined: the end of the file. */
  read?: (sftp: SFTPWrapper, requestId: number, offset: number, length: number) => void;
  /**
   * What there is, by name, asked for anew with each request; then nobody needs `names` and `attributes`. `lies` stands in the
   * place of what a file looks like.
   */
  files?: () => Record<string, { content: Buffer; lies?: Partial<HostileAttributes> }>;
  /** Gets the name of each request; true: it gets no answer. */
  ignores?: (request: string) => boolean;
}

export interface HostileSftp extends AsyncDisposable {
  /** With a password, so that no key is needed. */
  url: string;
  hostKeys: string[];
}

const REGULAR_FILE = 0o100600;
const STATUS_OK = 0;
const STATUS_EOF = 1;
const STATUS_NO_SUCH_FILE = 2;

async function makeHostKey(): Promise<{ privateKey: Buffer; fingerprint: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-hostile-key-'));
  const file = join(directory, 'key');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  const { stdout } = await execa('ssh-keygen', ['-lf', file]);
  const privateKey = readFileSync(file);
  rmSync(directory, { recursive: true });
  return { privateKey, fingerprint: stdout.split(' ')[1] as string };
}

export async function startHostileSftp({
  names = () => undefined,
  attributes = {},
  read,
  files,
  ignores = () => false,
}: Behaviour): Promise<HostileSftp> {
  const { privateKey, fingerprint } = await makeHostKey();
  const attrs = { mode: REGULAR_FILE, size: 1000, uid: 0, gid: 0, atime: 0, mtime: 0, ...attributes };
  const handle = Buffer.from('h');
  const clients = new Set<{ end(): unknown }>();

  const server = new ssh2.Server({ hostKeys: [privateKey] }, (client) => {
    clients.add(client);
    client.on('error', () => {});
    (client as unknown as { setNoDelay(): void }).setNoDelay(); // its types lack it
    client.on('close', () => clients.delete(client));
    client.on('authentication', (context) => context.accept());
    client.on('session', (accept) => {
      accept().on('sftp', (acceptSftp) => {
        const sftp = acceptSftp();
        let batch = 0;
        const on = (request: string, answer: (id: number, ...rest: never[]) => void): void => {
          sftp.on(request as 'LSTAT', (id: number, ...rest: unknown[]) => {
            if (!ignores(request)) answer(id, ...(rest as never[]));
          });
        };
        const lookUp = (path: string | Buffer) => files?.()[basename(String(path))];
        const looks = (name: string | Buffer): typeof attrs => {
          const { content, lies } = lookUp(name) ?? {};
          return { ...attrs, ...(content && { size: content.length }), ...lies };
        };
        for (const request of ['LSTAT', 'STAT', 'FSTAT'])
          on(request, (id, of: string) => {
            if (files !== undefined && lookUp(of) === undefined) sftp.status(id, STATUS_NO_SUCH_FILE);
            else sftp.attrs(id, looks(of));
          });
        on('OPEN', (id, path: string) => sftp.handle(id, files ? Buffer.from(basename(path)) : handle));
        on('OPENDIR', (id) => {
          batch = 0;
          sftp.handle(id, handle);
        });
        for (const request of ['CLOSE', 'REMOVE']) on(request, (id) => sftp.status(id, STATUS_OK));
        on('READDIR', (id) => {
          const found = files === undefined ? names(batch) : [Object.keys(files())][batch];
          batch += 1;
          if (found === undefined) sftp.status(id, STATUS_EOF);
          else
            sftp.name(
              id,
              found.map((filename) => ({ filename, longname: '', attrs: looks(filename) })),
            );
        });
        on('READ', (id, file: Buffer, offset, length) => {
          const content = lookUp(file)?.content.subarray(offset, offset + length);
          if (read !== undefined) read(sftp, id, offset, length);
          else if (!content?.length) sftp.status(id, STATUS_EOF);
          else sftp.data(id, content);
        });
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `sftp://anybody:no-secret@127.0.0.1:${port}/work`,
    hostKeys: [fingerprint],
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
