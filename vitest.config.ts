import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/helpers/of-run.ts'],
    setupFiles: ['test/helpers/bare-patterns.ts'],
    pool: 'forks',
    maxWorkers: 3, // of two processors: tests also wait for servers, disks and time limits
    testTimeout: 60_000,
    hookTimeout: 120_000,
    allowOnly: !process.env.CI,
    reporters: ['default', './test/closing-line.ts'],
  },
});
