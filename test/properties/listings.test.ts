// What a host says of its files is foreign: a listing is names that can be shown, and files that can be asked for by name.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openStore } from '../../stores/open.ts';
import { startHostileSftp } from '../helpers/hostile-sftp.ts';
import { holds, oddText, printSeed, readOrRefuse } from '../helpers/properties.ts';

printSeed();

it('lists what a host names, and asks for plain names only', async () => {
  let batches: string[][] = [];
  await using server = await startHostileSftp({ names: () => batches.shift() });
  await using store = await openStore(server.url, { hostKeys: server.hostKeys });
  const name = fc.oneof(
    oddText,
    fc
      .array(fc.constantFrom('.', '..', '/', 'a', '\0', '.tar', '\\', '\ud800'), { maxLength: 5 })
      .map((all) => all.join('')),
  );
  await holds(
    fc.array(fc.array(name, { maxLength: 4 }), { maxLength: 3 }),
    async (said) => {
      batches = structuredClone(said);
      const entries = await readOrRefuse(['store-limit'], () => store.list(''));
      batches = [];
      if (entries === undefined) {
        expect(said.flat().some((one) => Buffer.byteLength(one) > 255)).toBe(true);
        return;
      }
      for (const { name: found, kind } of entries) {
        // what could be a path, or another name once it is written, is never taken for a file
        const isPlain = found !== '' && !/^\.{1,2}$|[/\0\ufffd]/.test(found) && found.isWellFormed();
        expect(kind, JSON.stringify(found)).toBe(isPlain ? 'file' : 'other');
        if (isPlain) continue;
        const read = await readOrRefuse(['usage', 'io'], async () => {
          for await (const _ of store.read(found)) throw new Error('it was read');
          return found;
        });
        expect(read).toBeUndefined();
      }
    },
    40,
  );
});
