// Database URLs, as users write them.
import { expect, it } from 'vitest';
import { connectionFromUrl } from '../../databases/toolkit/engines.ts';

it.each(['mysql', 'postgresql'])(
  'a %s URL with a bare percent sign is refused by name, without its password',
  async (scheme) => {
    for (const password of ['p%zz', '100%', '%ff']) {
      const url = `${scheme}://app:${password}@127.0.0.1/app`;
      const error = await connectionFromUrl(url, 'GARNER_DATABASE_URL').catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'configuration',
        message: 'cannot use setting "GARNER_DATABASE_URL": it is no database URL that garner knows',
        hint: expect.stringContaining('a % in it is written %25'),
      });
    }
  },
);

it('a % that is encoded is a %', async () => {
  const { connection } = await connectionFromUrl('mysql://app:100%25@127.0.0.1/app', 'GARNER_DATABASE_URL');
  expect(connection).toMatchObject({ password: '100%' });
});
