// The command line of the archiver: which verbs there are. Each is declared in a file of verbs/.
import { type CommandMain, declareProgram, runProgram } from '../lib/command-line.ts';
import { declareCheck } from './verbs/check.ts';
import { declareDiff } from './verbs/diff.ts';
import { declareFind } from './verbs/find.ts';
import { declareInit } from './verbs/init.ts';
import { declareKeys } from './verbs/keys.ts';
import { declareList } from './verbs/list.ts';
import { declarePrune } from './verbs/prune.ts';
import { declarePull } from './verbs/pull.ts';
import { declarePush } from './verbs/push.ts';
import { declareRescan } from './verbs/rescan.ts';
import { declareRestore } from './verbs/restore.ts';
import { declareShow } from './verbs/show.ts';
import { declareVerify } from './verbs/verify.ts';

const EXAMPLE = `archiver init --accept-new      set up the store of archiver.yaml, learn the hosts' keys
archiver pull                   fetch, verify, remove at the hosts, prune
archiver list web1              what there is of one host`;

const VERBS = [
  declareInit,
  declarePull,
  declarePush,
  declarePrune,
  declareList,
  declareShow,
  declareFind,
  declareDiff,
  declareRestore,
  declareVerify,
  declareKeys,
  declareCheck,
  declareRescan,
];

export const main: CommandMain = (args, context) => {
  const program = declareProgram('archiver', 'Pulls archives from hosts, verifies and keeps them', EXAMPLE);
  for (const declare of VERBS) declare(program, context);
  return runProgram(program, args);
};
