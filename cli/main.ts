// The one entry of all commands of a checkout: `main.ts <command> [argument…]`, as cli/launch runs it. Bundles have theirs in
// scripts/build/entry.ts.
import { resolve } from 'node:path';
import { run } from './run.ts';

delete process.env.NODE_COMPILE_CACHE; // ours: commands that are run by this one have theirs elsewhere
const beside = (process.env.GARNER_BESIDE ?? '')
  .split(':')
  .filter(Boolean)
  .map((directory) => resolve(directory));
delete process.env.GARNER_BESIDE; // no setting: the launcher tells
const [name = 'garner', ...args] = process.argv.slice(2);
run(name, args, beside);
