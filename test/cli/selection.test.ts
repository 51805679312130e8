import { describe, expect, it } from 'vitest';
import { selectAudiences, selectDestination } from '../../cli/selection.ts';
import { USUAL_IDENTITY } from '../../core/identity.ts';
import type { Audience, Rule, Workspace } from '../../core/model.ts';

const audience = (name: string, to: readonly string[], where: Rule, exclude: readonly string[] = []): Audience => ({
  name,
  file: `audiences/${name}.yaml`,
  description: '',
  owner: '',
  timeZone: 'UTC',
  where,
  exclude,
  holdout: 0,
  schedule: { kind: 'manual' },
  guardrails: { maxRemoved: { percent: 100, floor: 0 } },
  syncs: to.map((destination) => ({ to: destination, mode: 'mirror', identifiers: [], traits: [], settings: {}, rollout: 100 })),
});
const refers = (...names: string[]): Rule => ({
  kind: 'all',
  rules: [{ kind: 'not', rule: { kind: 'any', rules: names.map((name) => ({ kind: 'audience', name })) } }],
});
const workspace: Workspace = {
  audiences: Object.fromEntries(
    [
      audience('active', ['meta', 'braze'], refers('lapsed')),
      audience('lapsed', ['meta'], refers(), ['zombies', 'staff']),
      audience('staff', [], refers()),
      audience('zombies', ['braze'], refers()),
    ].map((one) => [one.name, one]),
  ),
  tables: [],
  destinations: {},
  consent: { purposes: {}, version: '' },
  identity: USUAL_IDENTITY,
  retention: { storage: {}, version: 'none' },
};
const names = (...asked: string[]) => selectAudiences(workspace, asked).map(({ name }) => name);

describe('the audiences of a command', () => {
  it('are all that are sent somewhere, each after those it refers to or excludes', () => {
    expect(names()).toEqual(['zombies', 'lapsed', 'active']);
  });

  it('are those named, in the same order, once each', () => {
    expect(names('active', 'zombies', 'active')).toEqual(['zombies', 'active']);
  });

  it('are refused by name: unknown with the nearest one, and sent nowhere', () => {
    expect(() => names('lasped')).toThrow('There is no audience "lasped". Did you mean "lapsed"?');
    expect(() => names('toString')).toThrow('There is no audience "toString".');
    expect(() => names('staff')).toThrow('"staff" is sent nowhere: audiences/staff.yaml has no syncs.');
  });
});

describe('the destination of a command', () => {
  const all = selectAudiences(workspace, []);

  it('is one that they are sent to', () => {
    expect(selectDestination(all, 'braze')).toBe('braze');
    expect(selectDestination(all, undefined)).toBeUndefined();
  });

  it('is refused with the nearest one otherwise', () => {
    expect(() => selectDestination(all, 'brase')).toThrow('These audiences are not sent to "brase". Did you mean "braze"?');
    expect(() => selectDestination(selectAudiences(workspace, ['lapsed']), 'braze')).toThrow('"lapsed" is not sent to "braze".');
  });
});
