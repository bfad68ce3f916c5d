// The thread of digest.ts: hashes the whole of an open file and posts the digest.
import { parentPort, workerData } from 'node:worker_threads';
import { digestRegion } from './digest.ts';

const { fd, algorithm, sizeBytes } = workerData;
parentPort?.postMessage(digestRegion(fd, algorithm, 0, sizeBytes));
