import { describe, expect, it } from 'vitest';
import { type LinkageDay, linkageOf, linkageSpikes, nextDay, USUAL_LINKAGE } from '../../core/linkage.ts';

const NOON = Date.parse('2026-05-31T12:00:00Z');
const DAY = 86_400_000;
const email = { customers: 1_000, identifiers: 1_200, average: 1.2, p99: 3, most: 6, orphans: 400 };
/** Days before the 31st of May, newest first, each like the others but for ten merges a day. */
const days = (count: number, merged = 500): LinkageDay[] =>
  Array.from({ length: count }, (_, i) => {
    const tick = NOON - (i + 1) * DAY;
    return { day: new Date(tick).toISOString().slice(0, 10), tick, namespaces: { email }, merged: merged - i * 10 };
  });
const spikes = (more: Partial<typeof email>, merged: number | null = 510, history = days(5), tick = NOON) =>
  linkageSpikes({ namespaces: { email: { ...email, ...more } }, merged }, tick, history, USUAL_LINKAGE);

describe('the linkage of a run', () => {
  it('is counted from how many customers have how many', () => {
    const rows = [
      { namespace: 'email', n: 1, customers: 98, orphans: 5 },
      { namespace: 'email', n: 40, customers: 1, orphans: 40 },
      { namespace: 'email', n: 2, customers: 1, orphans: 0 },
      { namespace: 'phone', n: 1, customers: 3, orphans: 0 },
    ];
    expect(linkageOf(rows, 7)).toEqual({
      namespaces: {
        email: { customers: 100, identifiers: 140, average: 1.4, p99: 2, most: 40, orphans: 45 },
        phone: { customers: 3, identifiers: 3, average: 1, p99: 1, most: 1, orphans: 0 },
      },
      merged: 7,
    });
  });

  it('that is as usual says nothing', () => expect(spikes({})).toEqual([]));

  it('is held by each number that is suddenly otherwise, with the usual and the limit', () => {
    expect(spikes({ orphans: 1_001, average: 2.6, most: 51 }, 800)).toEqual([
      '300 ids were merged away since 2026-05-30T12:00Z; usual are 10 a day. The limit is 5 times that (never less than 100).',
      '1,001 identifiers of email belong to nobody among the customers; usual are 400. The limit is 2 times that (never less than 1,000).',
      'Customers have 2.6 identifiers of email on average; usual are 1.2. The limit is 1.5 times that (never less than 1,000).',
      'One customer has 51 identifiers of email; usual is 6 at most. The limit is 3 times that (never less than 50).',
    ]);
  });

  it('is never held by numbers at the floor, or at the limit', () => {
    expect(spikes({ orphans: 1_000, average: 2.2, most: 50 }, 600)).toEqual([]);
    expect(spikes({ orphans: 800, average: 1.79, most: 18, customers: 1_000_000 }, 550)).toEqual([]);
  });

  it('says nothing before there are three days to call usual, or of a namespace that is new', () => {
    const wild = { orphans: 9_000, average: 9, most: 900 };
    expect(spikes(wild, 9_000, days(2))).toEqual([]);
    expect(spikes(wild, 9_000, days(3))).toHaveLength(4);
    const other = days(5).map((day) => ({ ...day, namespaces: { phone: email } }));
    expect(spikes(wild, 510, other)).toEqual([]);
  });

  it('compares with what was let pass last, so that one approval is enough', () => {
    const passed = nextDay(null, { namespaces: { email: { ...email, most: 80 } }, merged: 900 }, NOON - 60_000);
    expect(spikes({ most: 80 }, 905, [passed, ...days(5)])).toEqual([]);
    expect(spikes({ most: 80 }, 905)).toHaveLength(2);
  });

  it('takes days without a run for what they are: their merges come together', () => {
    expect(spikes({}, 500 + 140, days(5), NOON + 2 * DAY)).toEqual([]);
    expect(spikes({}, 500 + 160, days(5), NOON + 2 * DAY)).toHaveLength(1);
  });

  it('keeps of a day every namespace as it was seen last', () => {
    const first = nextDay(null, { namespaces: { email }, merged: 1 }, NOON);
    const second = nextDay(first, { namespaces: { phone: email }, merged: 2 }, NOON + 1);
    expect(second).toEqual({ day: '2026-05-31', tick: NOON + 1, namespaces: { email, phone: email }, merged: 2 });
  });
});
