// A command of one's own: it gets the message as JSON on stdin and says by its exit code whether it took it. It runs
// without a shell, only from a file that nobody else can change, and is ended with all it started when its time is up.
import { parseArgsStringToArgv } from 'string-argv';
import { asGarnerError, cannot } from '../../lib/errors.ts';
import { capture, describeExit } from '../../lib/process.ts';
import type { SettingTable } from '../../lib/settings.ts';
import { checkTrusted } from '../../lib/trusted-file.ts';
import { subjectOf, textOf } from '../message.ts';
import { defineTransport } from '../transport.ts';

interface CommandLine {
  file: string;
  args: string[];
}

const commandLine = (value: string): CommandLine => {
  const [file, ...args] = parseArgsStringToArgv(value);
  if (!file?.startsWith('/')) throw 'it does not begin with the absolute path of a program';
  return { file, args };
};

const SETTINGS = {
  NOTIFY_COMMAND: {
    parse: commandLine,
    describe:
      "a program with its arguments, split like a command line's, without a shell; it gets messages as JSON on stdin",
  },
} as const satisfies SettingTable;

export default defineTransport({
  settings: SETTINGS,
  open({ NOTIFY_COMMAND: command }) {
    if (command === undefined) return undefined;
    const { file } = command;
    // what it says is for people: in the caller's language, not in that of programs whose output is read
    const env = { LC_ALL: process.env.LC_ALL };
    return {
      to: file,
      async send(message, signal) {
        const input = JSON.stringify({ subject: subjectOf(message), text: textOf(message), ...message });
        try {
          checkTrusted(file);
          const ended = await capture({ ...command, env }, { input: `${input}\n`, signal });
          if (ended.code !== 0) throw describeExit(ended);
        } catch (error) {
          const hint = typeof error === 'string' ? undefined : asGarnerError(error).hint;
          throw cannot('delivery', 'hand a message to', file, error, { hint });
        }
        return [];
      },
    };
  },
});
