// Operations: commands of the administrator's that fill a folder, each backed up by itself (Hamster's way). What they are stands in
// a file; the command line differs from that of other agents, see docs/operations.md.
import { path } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';

export default defineAgent({
  application: 'command',
  title: 'Operations',
  testedWith: 'real commands and files',
  settings: {
    COMMAND_OPERATIONS: {
      parse: path,
      describe:
        'the file of the operations; unset: operations.yaml, operations.json or config.json beside the command, or in /etc/garner',
    },
  },

  version: () => '1',
  databases: () => [],
  trees: () => [],
});
