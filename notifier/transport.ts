// What a transport is: one way by which messages leave the host. Each is one file in transports/; the folder is the
// registry, the file's name the transport's name in NOTIFY_TRANSPORTS.
import { cannot } from '../lib/errors.ts';
import type { SettingTable, SettingValues } from '../lib/settings.ts';
import type { Message } from './message.ts';

/** A run that begins; the message about it has the same `run.id`. */
export interface RunStart {
  /** A UUID. */
  id: string;
  name: string;
  host: string;
}

/** A transport that is configured on this host. */
export interface Channel {
  /** Where messages go, for people: `root@example.org by /usr/sbin/sendmail`. */
  to: string;
  /** It shows a state: a message that waits is dropped once a newer one about the same name and host was taken. */
  newestOnly?: boolean;
  /**
   * Says that a run begins. Nobody waits for it for more than seconds, and it is never said later.
   * @throws delivery
   */
  started?(run: RunStart, signal: AbortSignal): Promise<void>;
  /**
   * Hands a message over; sending one again after a failure must be recognisable by its id.
   * @param signal ends the attempt
   * @returns what somebody should know although the message left: a recipient of several that was refused
   * @throws delivery, where nobody got it
   */
  send(message: Message, signal: AbortSignal): Promise<string[]>;
}

export interface Transport<T extends SettingTable = SettingTable> {
  /** Its own settings, by name. */
  settings: T;
  /**
   * It watches over runs: the message about each run, and about one that never was, goes there, whatever levels are set,
   * and no other does. None waits in the queue.
   */
  everyRun?: true;
  /**
   * Checks the settings; connects to nothing yet.
   * @param host the name of this host (GARNER_HOST)
   * @returns undefined where nothing of it is configured
   * @throws configuration
   */
  open(values: SettingValues<T>, host: string): Channel | undefined;
}

/** Declares a transport, so that its own settings are typed. */
export function defineTransport<T extends SettingTable>(transport: Transport<T>): Transport {
  return transport as unknown as Transport;
}

/**
 * Takes the settings that go together.
 * @returns undefined where none of them is set
 * @throws configuration, naming one that is missing
 */
export function required<T extends object, K extends keyof T & string>(
  values: T,
  ...names: K[]
): { [P in K]: NonNullable<T[P]> } | undefined {
  const missing = names.find((name) => values[name] === undefined);
  const other = names.find((name) => values[name] !== undefined);
  if (other === undefined) return undefined;
  if (missing !== undefined) {
    throw cannot('configuration', 'use setting', other, `${missing} is missing: the two go together`);
  }
  return values as { [P in K]: NonNullable<T[P]> };
}
