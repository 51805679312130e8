import { defineConfig } from 'vitest/config';

/** What needs moto (AWS in a process of Python): `npm run test:moto`. */
export default defineConfig({
  test: {
    // A whole deployment takes seven minutes of waiting, and has passed test by test but not yet in one piece: by hand, `npm run try:deployment`.
    include: process.env.SLUICE_DEPLOYMENT === undefined ? ['test/stores/*.moto.ts'] : ['test/**/*.moto.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    maxWorkers: 1,
    allowOnly: false,
    passWithNoTests: false,
  },
});
