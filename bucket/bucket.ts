// The command line of bucket: which verbs there are. Each is declared in a file of verbs/. backup-my-bucket had its -config before
// the verb; that is read too.
import { type CommandMain, declareProgram, runProgram } from '../lib/command-line.ts';
import { declareDelete } from './verbs/delete.ts';
import { declareDiff } from './verbs/diff.ts';
import { declareFailover } from './verbs/failover.ts';
import { declareGc } from './verbs/gc.ts';
import { declareList } from './verbs/list.ts';
import { declareRestore } from './verbs/restore.ts';
import { declareShow } from './verbs/show.ts';
import { declareSnapshot } from './verbs/snapshot.ts';
import { declareVerify } from './verbs/verify.ts';

const EXAMPLE = `bucket snapshot                 make a restoration point of each set of buckets.yaml
bucket list                     what there is
bucket restore latest --dry-run what a restore would do`;

const VERBS = [
  declareSnapshot,
  declareList,
  declareShow,
  declareDiff,
  declareRestore,
  declareDelete,
  declareGc,
  declareFailover,
  declareVerify,
];

export const main: CommandMain = (args, context) => {
  const program = declareProgram('bucket', 'Makes and restores restoration points of S3 buckets', EXAMPLE);
  for (const declare of VERBS) declare(program, context);
  return runProgram(program, verbFirst(args));
};

/** @returns the arguments with a leading `-config FILE`, however it is written, behind the verb */
function verbFirst(args: string[]): string[] {
  const [first = '', ...rest] = args;
  if (first === '-help') return ['--help', ...rest];
  const option = /^--?config(?:=(.*))?$/s.exec(first);
  if (option === null) return args;
  const [file = '', verb, ...others] = option[1] === undefined ? rest : [option[1], ...rest];
  return verb === undefined ? args : [verb, '--config', file, ...others];
}
