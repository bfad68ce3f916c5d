import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from './mariadb.ts';

let server: MariaDb;
beforeAll(async () => {
  server = await startMariadb();
});
afterAll(() => server?.stop());

it('serves an account of a new database by port and by socket', async () => {
  const password = `a'b"c\\d $#;%@`;
  const url = new URL(await server.createDatabase('shop', 'keeper', password));
  expect(decodeURIComponent(url.password)).toBe(password);
  for (const way of [
    ['--protocol=tcp', '--host=127.0.0.1', `--port=${url.port}`],
    [`--socket=${server.socket}`],
  ]) {
    const client = ['--no-defaults', '--user=keeper', ...way, '--batch', '--skip-column-names', 'shop'];
    const { stdout } = await execa('mariadb', [...client, '-e', 'SELECT DATABASE(), CURRENT_USER()'], {
      env: { MYSQL_PWD: password },
    });
    expect(stdout).toBe('shop\tkeeper@%');
  }
});

it('leaves no process and no file when it stops', async () => {
  const other = await startMariadb();
  await other.stop();
  expect(existsSync(`/proc/${other.pid}`)).toBe(false);
  expect(existsSync(other.socket)).toBe(false);
});
