import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest, so that nobody waits for it in the end. */
const LONG = [
  /core.run.kills/,
  /scenarios/,
  /core.run.canary/,
  /core.run.histories/,
  /cdk.app/,
  /cli.demo/,
  /forget.kills/,
  /cdk.stack/,
];
const rank = ({ moduleId }: TestSpecification): number => {
  const place = LONG.findIndex((one) => one.test(moduleId));
  return place === -1 ? LONG.length : place;
};

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes are started and killed, and DuckDB runs for real: a default of 5 s would measure the machine, not the code.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // On two processors: many tests wait for time to pass, and leave theirs to others.
    maxWorkers: 3,
    // A worker loads the libraries once, not once a file. What a test changes of its process it puts back.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    allowOnly: false,
    passWithNoTests: false,
  },
});
