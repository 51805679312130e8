import { describe, expect, it } from 'vitest';
import { ENTRIES } from '../../functions/bundling.ts';
import { environmentOf, NEEDS, VARIABLES } from '../../functions/environment.ts';

describe('the environment of a function', () => {
  it('is named for every function that is bundled, and no variable is named that nobody reads', () => {
    expect(Object.keys(NEEDS).toSorted()).toEqual([...ENTRIES].toSorted());
    const read = new Set<string>(Object.values(NEEDS).flat());
    expect(Object.keys(VARIABLES).toSorted()).toEqual([...read].toSorted());
  });

  it('that lacks variables is refused with the names of all of them', () => {
    expect(() => environmentOf('publish', { SLUICE_TOPIC: '' })).toThrow(
      new Error('The function publish was deployed without SLUICE_TOPIC, SLUICE_STAGE. Deploy the stack again.'),
    );
    const env = { SLUICE_TOPIC: 'arn:aws:sns:eu-central-1:1:t', SLUICE_STAGE: 'prod', AWS_SECRET_ACCESS_KEY: 'x' };
    expect(environmentOf('publish', env)).toEqual({ SLUICE_TOPIC: env.SLUICE_TOPIC, SLUICE_STAGE: 'prod' });
  });

  it('keeps apart what reads tables and what sends: the one has no secret of a destination, the other no warehouse', () => {
    expect(NEEDS.deliver.filter((name) => /WORKGROUP|CATALOG|DATABASE|MEMBER_KEY/.test(name))).toEqual([]);
    const hashing = Object.entries<readonly string[]>(NEEDS).filter(([, names]) => names.includes('SLUICE_MEMBER_KEY'));
    expect(hashing.map(([name]) => name)).toEqual(['materialize', 'forget']);
  });
});
