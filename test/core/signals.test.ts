import { describe, expect, it } from 'vitest';
import type { PurposePolicy } from '../../core/model.ts';
import { type Signal, type SignalKind, signalsOf, stricter } from '../../core/signals.ts';
import { gppString, tcString } from './consent-strings.ts';

const policy = (more: Partial<PurposePolicy>): PurposePolicy => ({
  name: 'ads',
  basis: 'opt-in',
  jurisdictions: {},
  sharedIdentifiers: 'keep-for-entitled',
  ...more,
});
const ADS = policy({ tcf: { purposes: [1, 3, 4] } });
const VENDOR = policy({ tcf: { purposes: [1, 2], vendor: 8 } });
const US = policy({ gpp: { optOuts: ['sale', 'targeted_advertising'] } });
const SHARING = policy({ gpp: { optOuts: ['sharing'] } });

/** The example of IAB Europe's specification: consent to purposes 1, 2 and 3, and to vendors 2, 6 and 8. */
const EXAMPLE =
  'COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw';

describe('what a consent string says of a purpose', () => {
  it.each<readonly [string, SignalKind, string, PurposePolicy, Signal]>([
    ['a TC string grants with consent to every mapped purpose', 'tcf', tcString([1, 2, 3, 4]), ADS, 'granted'],
    ['and refuses without one of them', 'tcf', tcString([1, 3]), ADS, 'denied'],
    ['and refuses without any', 'tcf', tcString([]), ADS, 'denied'],
    ['the vendor must have consent too, where one is named', 'tcf', EXAMPLE, VENDOR, 'granted'],
    ['and refuses where it has none', 'tcf', tcString([1, 2], [7]), VENDOR, 'denied'],
    ['and where the publisher forbids it the purpose', 'tcf', tcString([1, 2], [8], [2, 8]), VENDOR, 'denied'],
    ['a restriction of another vendor restricts nobody else', 'tcf', tcString([1, 2], [8, 9], [2, 9]), VENDOR, 'granted'],
    ['the purposes of the example of the specification', 'tcf', EXAMPLE, ADS, 'denied'],
    ['a string cut short cannot be read, which refuses', 'tcf', tcString([1, 3, 4]).slice(0, 20), ADS, 'unknown-status'],
    ['and so is one of version 1', 'tcf', 'BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA', ADS, 'unknown-status'],
    ['and any other text', 'tcf', 'yes', ADS, 'unknown-status'],
    ['a purpose that maps no TCF is not spoken of', 'tcf', 'yes', US, null],
    [
      'an opt-out of a mapped kind refuses, in the national section',
      'gpp',
      gppString({ usnat: { SaleOptOut: 1 } }),
      US,
      'denied',
    ],
    ["and in a state's", 'gpp', gppString({ usco: { TargetedAdvertisingOptOut: 1 } }), US, 'denied'],
    ['and in one of several', 'gpp', gppString({ usnat: { SaleOptOut: 2 }, usca: { SaleOptOut: 1 } }), US, 'denied'],
    ['an opt-out of another kind says nothing', 'gpp', gppString({ usca: { SharingOptOut: 1 } }), US, null],
    ['but where it is mapped', 'gpp', gppString({ usca: { SharingOptOut: 1 } }), SHARING, 'denied'],
    [
      'Global Privacy Control is an opt-out of all',
      'gpp',
      gppString({ usca: { GpcSegmentIncluded: true, Gpc: true } }),
      SHARING,
      'denied',
    ],
    ['having not opted out grants nothing and lifts nothing', 'gpp', gppString({ usnat: { SaleOptOut: 2 } }), US, null],
    [
      'the US privacy string of old',
      'gpp',
      gppString({ uspv1: { Version: 1, Notice: 'Y', OptOutSale: 'Y', LspaCovered: 'N' } }),
      US,
      'denied',
    ],
    [
      'is read for the sale',
      'gpp',
      gppString({ uspv1: { Version: 1, Notice: 'Y', OptOutSale: 'Y', LspaCovered: 'N' } }),
      SHARING,
      null,
    ],
    ['a TC string inside a GPP string is read as such', 'gpp', gppString({}, [1, 3, 4]), ADS, 'granted'],
    ['and refuses as such', 'gpp', gppString({ usnat: { SaleOptOut: 2 } }, [1]), ADS, 'denied'],
    ['a GPP string of no section says nothing', 'gpp', 'DBAA', US, null],
    ['a GPP string that cannot be read refuses', 'gpp', `${gppString({ usnat: { SaleOptOut: 2 } })}~x`, US, 'unknown-status'],
    ['also for a purpose that maps TCF alone', 'gpp', 'garbage', ADS, 'unknown-status'],
  ])('%s', (_sentence, kind, text, of, expected) => {
    expect(signalsOf(kind, text, [of])).toEqual([expected]);
  });

  it('is told for each policy in its place', () => {
    expect(signalsOf('gpp', gppString({ usnat: { SaleOptOut: 1 } }, [1, 3, 4]), [ADS, US, policy({}), SHARING])).toEqual([
      'granted',
      'denied',
      null,
      null,
    ]);
  });

  it('is the stricter of two', () => {
    const signals: Signal[] = [null, 'granted', 'unknown-status', 'denied'];
    for (const [i, a] of signals.entries())
      for (const [j, b] of signals.entries()) expect(stricter(a, b)).toBe(signals[Math.max(i, j)]);
  });
});
