// The thread of survey-file.ts: goes through files, several at once, one of them while it is still being written.
import { parentPort } from 'node:worker_threads';
import { type Request, readGrowing } from './survey-file.ts';

const port = parentPort as NonNullable<typeof parentPort>;
const onGrowth = new Map<number, (request: Request) => void>();
port.on('message', (request: Request) => {
  const { id } = request;
  if (request.open === undefined) return onGrowth.get(id)?.(request);
  const reading = readGrowing(request.open.file, request.open.options, (take) => onGrowth.set(id, take));
  reading
    .then(
      (survey) => port.postMessage({ id, survey }),
      (error) => port.postMessage({ id, error }),
    )
    .finally(() => onGrowth.delete(id));
});
