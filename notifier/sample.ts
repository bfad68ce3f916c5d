// `notify test`: a sample through every configured transport, and which of them took it.
import { cannot, causeText, EXIT } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { redact } from '../lib/redact.ts';
import { deliver } from './deliver.ts';
import { makeMessage } from './message.ts';
import type { NotifySettings } from './settings.ts';

/**
 * Sends a sample and prints a line for each transport.
 * @returns 0 where every channel took it, else 1
 * @throws configuration where there is no channel
 */
export async function sendSample(settings: NotifySettings): Promise<number> {
  const { channels, host } = settings;
  if (channels.size === 0) {
    throw cannot('configuration', 'send', 'a sample', 'no transport is configured', {
      hint: 'set NOTIFY_EMAIL_TO in garner.env',
    });
  }
  const message = makeMessage({
    result: 'OK',
    level: 'ok',
    name: settings.name ?? 'test',
    host,
    summary: 'this is only a test',
    facts: [
      { label: 'Host', value: host },
      { label: 'Meaning', value: 'Messages of garner arrive. Nothing was backed up.' },
    ],
  });
  using interrupt = runSignal('the test');
  let exitCode: number = EXIT.ok.code;
  for (const [name, channel] of channels) {
    try {
      await deliver(message, channel, interrupt.signal);
      process.stdout.write(`${name}: sent to ${channel.to}\n`);
    } catch (error) {
      exitCode = EXIT.failed.code;
      process.stdout.write(`${name}: NOT sent to ${channel.to}: ${redact(causeText(error))}\n`);
    }
  }
  return exitCode;
}
