import { defineConfig } from 'vitest/config';

/** What only a real account can prove: `npm run conformance:aws`, with credentials and a region in the environment. docs/deploy.md says what it makes. */
export default defineConfig({
  test: {
    include: ['test/conformance/*.aws.ts'],
    globalSetup: ['test/conformance/account.ts'],
    testTimeout: 900_000,
    hookTimeout: 1_800_000,
    // In the order of their names: what Athena answers first, then a run that relies on it.
    maxWorkers: 1,
    fileParallelism: false,
    allowOnly: false,
    passWithNoTests: false,
  },
});
