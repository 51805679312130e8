import { defineConfig } from 'vitest/config';

/** What needs a real Trino: `npm run test:trino`, after `npm run pre-test:trino`. One server for all files. */
export default defineConfig({
  test: {
    globalSetup: ['test/support/trino/global.ts'],
    maxWorkers: 1,
    allowOnly: false,
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'port',
          include: ['test/warehouses/*.trino.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'same rows',
          // Every file here opens DuckDB and gets it with Trino as its shadow.
          include: [
            'test/core/sql/{gate,delta,rule,snapshot,bound-consents,shared-identifiers,retention,same-person,gone}.test.ts',
            'test/core/{consent,identity}.test.ts',
            'test/core/run/{everything,on-athena}.test.ts',
          ],
          setupFiles: ['test/support/trino/shadow.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        // After all others: looks at what they called.
        test: { name: 'every text', include: ['test/support/trino/every-text.trino.ts'], sequence: { groupOrder: 2 } },
      },
    ],
  },
});
