import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes are started and killed, and DuckDB runs for real: a default of 5 s would measure the machine, not the code.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Two, because DuckDB and the started processes need the rest.
    maxWorkers: 2,
    allowOnly: false,
    passWithNoTests: false,
  },
});
