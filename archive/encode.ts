// How members are stored: compressed by zstd and, where recipients are set, encrypted by age. The programs are joined
// by the kernel; JavaScript sees only what is to be stored.
import type { Writable } from 'node:stream';
import { checkOwnership } from '../lib/configuration-file.ts';
import { cannot } from '../lib/errors.ts';
import { type Command, describeExit, type Ended, firstFailure, startPipeline } from '../lib/process.ts';
import { findProgram } from '../lib/program.ts';
import type { Member } from './manifest.ts';

export interface Encoding {
  /** age recipients; none: not encrypted. */
  recipients: readonly string[];
}

/** @returns the name a member gets: `wiki.sql` → `wiki.sql.zst` or `wiki.sql.zst.age` */
export function encodedName(name: string, { recipients }: Encoding): string {
  return `${name}.zst${recipients.length > 0 ? '.age' : ''}`;
}

/** @returns what the manifest says of the encoding */
export function encodingNames({ recipients }: Encoding): Member['encoding'] {
  return recipients.length > 0 ? ['zst', 'age'] : ['zst'];
}

function encoders({ recipients }: Encoding): Command[] {
  const zstd: Command = { file: findProgram(['zstd'], 'zstd'), args: ['-q', '-3', '-T0', '-c', '-'] };
  if (recipients.length === 0) return [zstd];
  return [
    zstd,
    { file: findProgram(['age'], 'age'), args: recipients.flatMap((recipient) => ['-r', recipient]) },
  ];
}

export interface RunningEncoding {
  /** Where the caller puts bytes in, if it asked for `pipe`. */
  stdin: Writable | undefined;
  /** Settles when all is stored; gives the exits of the caller's own commands, to be judged by the caller. */
  ended: Promise<Ended[]>;
}

/**
 * Runs commands whose output is encoded and stored.
 * @param commands what makes the bytes; none: they come from stdin
 * @param store gets the encoded bytes in order, in chunks that are valid during the call only
 * @throws program-failed where compression or encryption fails for its own reasons
 */
export function startEncoding(
  commands: readonly Command[],
  store: (chunk: Buffer) => void,
  { stdin, encoding, signal }: { stdin: 'pipe' | 'ignore' | number; encoding: Encoding; signal: AbortSignal },
): RunningEncoding {
  let storeError: unknown;
  const onOutput = (chunk: Buffer): void => {
    if (storeError !== undefined) return;
    try {
      store(chunk);
    } catch (error) {
      storeError = error;
      pipeline.stdout.destroy(); // the programs before it end by SIGPIPE
    }
  };
  const pipeline = startPipeline([...commands, ...encoders(encoding)], { stdin, signal, onOutput });
  const ended = pipeline.ended.then((all) => {
    if (storeError !== undefined) throw storeError;
    const own = all.slice(0, commands.length);
    const failed = firstFailure(all.slice(commands.length));
    // an encoder that lost its input because a program before it broke is not to blame
    if (failed !== undefined && firstFailure(own) === undefined) {
      throw cannot('program-failed', 'run program', failed.command.file, describeExit(failed));
    }
    return own;
  });
  ended.catch(() => {});
  return { stdin: pipeline.stdin, ended };
}

/**
 * @param encoding as the manifest has it
 * @param identityFile the age identity that decrypts, where the member is encrypted
 * @returns the commands that turn stored bytes into the original ones
 */
export function decoders(encoding: Member['encoding'], identityFile: string | undefined): Command[] {
  const commands: Command[] = [];
  if (encoding.includes('age')) {
    if (identityFile === undefined) {
      throw cannot('configuration', 'read', 'an encrypted member', 'no age identity is given', {
        hint: 'set GARNER_AGE_IDENTITY_FILE to the file with the private key',
      });
    }
    checkOwnership(identityFile, true);
    commands.push({ file: findProgram(['age'], 'age'), args: ['-d', '-i', identityFile] });
  }
  if (encoding.includes('zst')) {
    commands.push({ file: findProgram(['zstd'], 'zstd'), args: ['-q', '-d', '-c', '-'] });
  }
  return commands;
}
