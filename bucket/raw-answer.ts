// What a server answers, before the SDK makes an output of it: the SDK loses some of it.
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { S3Client } from '@aws-sdk/client-s3';

type Stack = Pick<S3Client['middlewareStack'], 'add'>;

/**
 * Shows the answer to a request, each time that it is sent.
 * @param look what it throws, the request throws
 */
export function seeAnswer(
  request: { middlewareStack: unknown },
  look: (body: Buffer, status: number) => void,
): void {
  (request.middlewareStack as Stack).add(
    (next) => async (args) => {
      const result = await next(args);
      const { response } = result as { response: { body: unknown; statusCode: number } };
      const body = await buffer(response.body as Readable);
      response.body = body;
      look(body, response.statusCode);
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'seeAnswer' },
  );
}
