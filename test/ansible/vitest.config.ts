// What takes minutes of ansible's own is no part of `make test`.
import { defineConfig } from 'vitest/config';
import usual from '../../vitest.config.ts';

export default defineConfig({
  test: { ...usual.test, include: ['test/ansible/*.play.ts'], testTimeout: 900_000, bail: 1 },
});
