import { defineConfig } from 'vitest/config';

/** What needs moto (AWS in a process of Python): `npm run test:moto`. */
export default defineConfig({
  test: {
    include: ['test/**/*.moto.ts'],
    globalSetup: 'test/functions/bundles.ts',
    // A machine may have more to do than this.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 1,
    allowOnly: false,
    passWithNoTests: false,
  },
});
