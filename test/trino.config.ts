import { defineConfig } from 'vitest/config';

/** What needs a real Trino: `npm run test:trino`, after `npm run pre-test:trino`. One server for all files. */
export default defineConfig({
  test: {
    include: ['test/**/*.trino.ts'],
    globalSetup: ['test/support/trino/global.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
    allowOnly: false,
    passWithNoTests: false,
  },
});
