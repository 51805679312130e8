import { describe, expect, it } from 'vitest';
import { reportJson } from '../../cli/render/report-json.ts';
import { reportText } from '../../cli/render/report.ts';
import { bytes, duration, table } from '../../cli/render/table.ts';
import type { RunReport, SyncReport } from '../../core/run/report.ts';

const plain = (_style: unknown, text: string) => text;

const sync: SyncReport = {
  destination: 'meta-eu',
  mode: 'mirror',
  add: 120,
  update: 14,
  remove: 33,
  unchanged: 9_000,
  withheld: { erased: 0, excluded: 0, 'no-consent': 600, 'no-identifier': 60, holdout: 6, rollout: 0, parked: 0 },
  removeReasons: { left: 30, 'no-consent': 3 },
  resent: 0,
  requests: 2,
  seconds: 0.42,
  members: 9_053,
};
const report: RunReport = {
  run: '01JD0000000000000000000000',
  audience: 'lapsed-vips',
  tick: 0,
  matched: 9_800,
  state: 'planned',
  syncs: [sync],
  code: 0,
};

describe('the report of a plan', () => {
  it('shows every number once, the sum of law 14 under them, and the command that sends it', () => {
    expect(reportText(report, plain)).toBe(
      [
        'lapsed-vips  9,800 customers matched  planned  01JD0000000000000000000000',
        '  destination  mode    add  update  remove  unchanged  withheld  requests   time',
        '  meta-eu      mirror  120      14      33      9,000       666         2  0.4 s',
        '    9,800 matched = 120 add + 14 update + 9,000 unchanged + 666 withheld (no-consent 600, no-identifier 60, holdout 6)',
        '    removed because: left 30, no-consent 3',
        '  Nothing was sent. To send exactly this: sluice sync --plan 01JD0000000000000000000000',
      ].join('\n'),
    );
  });

  it('says so when there is nothing to send', () => {
    const still = { ...sync, add: 0, update: 0, remove: 0, unchanged: 9_134, removeReasons: {} };
    expect(reportText({ ...report, syncs: [still] }, plain)).toMatch(/\n {2}Nothing changed: a sync would send nothing\.$/);
  });

  it('gives the whole reason of a hold instead of the next command', () => {
    const held = '"lapsed-vips" would remove 4,120 of 9,800 members.\nIf this is right: sluice approve 01JD';
    const text = reportText({ ...report, state: 'held', held, code: 3 }, plain);
    expect(text.endsWith('\n  "lapsed-vips" would remove 4,120 of 9,800 members.\n  If this is right: sluice approve 01JD')).toBe(
      true,
    );
  });

  it('says what an engine that bills read and what that costs', () => {
    const usage = { queries: 31, scannedBytes: 5_412_000_000, billedBytes: 5_500_000_000, usd: 0.0275 };
    expect(reportText({ ...report, usage }, plain)).toContain('\n  5.4 GB read in 31 queries, $0.0275\n');
    expect(reportJson({ ...report, usage })['usage']).toEqual(usage);
    expect(reportJson(report)).not.toHaveProperty('usage');
  });

  it('is one object of the agreed shape as JSON', () => {
    expect(reportJson(report)).toEqual({
      audience: 'lapsed-vips',
      plan: '01JD0000000000000000000000',
      matched: 9_800,
      syncs: [
        {
          destination: 'meta-eu',
          mode: 'mirror',
          add: 120,
          update: 14,
          remove: 33,
          unchanged: 9_000,
          withheld: sync.withheld,
          requests: 2,
          seconds: 0.42,
        },
      ],
    });
  });
});

describe('the report of a sync', () => {
  const sent: SyncReport = {
    ...sync,
    outcomes: { delivered: 100, accepted: 30, rejected: 3, retry: 1 },
    rejections: [{ reason: 'invalid_email', count: 3 }],
  };

  it('tells what was taken, refused and left for the next run', () => {
    const lines = reportText({ ...report, state: 'done', syncs: [sent] }, plain).split('\n');
    expect(lines).toEqual([
      'lapsed-vips  9,800 customers matched  done',
      '  destination  mode    add  update  remove  unchanged  withheld  requests  taken  members',
      '  meta-eu      mirror  120      14      33      9,000       666         2    130    9,053',
      '    9,800 matched = 120 add + 14 update + 9,000 unchanged + 666 withheld (no-consent 600, no-identifier 60, holdout 6)',
      '    removed because: left 30, no-consent 3',
      '    rejected 3: invalid_email 3',
      '    not taken yet 1; the next run sends them again',
    ]);
  });

  it('says what broke at the destination and the way out, under its line', () => {
    const broken = { ...sent, error: { message: 'meta-eu: the access token has expired.', wayOut: 'Make a new one.' } };
    const lines = reportText({ ...report, state: 'failed', syncs: [broken], code: 1 }, plain).split('\n');
    expect(lines.slice(-2)).toEqual(['    meta-eu: the access token has expired.', '    Make a new one.']);
    expect(reportJson({ ...report, syncs: [broken] })).toMatchObject({
      syncs: [{ outcomes: sent.outcomes, rejections: sent.rejections, error: broken.error }],
    });
  });
});

describe('a table', () => {
  it('sets numbers to the right and words to the left, without trailing blanks', () => {
    expect(
      table(
        [{ title: 'name' }, { title: 'n' }, { title: 'why' }],
        [
          ['a', 12_345, 'x'],
          ['longer', 1, undefined],
        ],
      ),
    ).toEqual(['name         n  why', 'a       12,345  x', 'longer       1']);
  });

  it('writes sizes in the units that are billed', () => {
    expect([0, 999, 1_000, 99_940, 99_960, 4_200_000_000, 7e13].map(bytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 KB',
      '99.9 KB',
      '100 KB',
      '4.2 GB',
      '70.0 TB',
    ]);
  });

  it('writes times as people say them', () => {
    expect([0, 0.04, 59.94, 60, 125, 7_320].map(duration)).toEqual([
      '0.0 s',
      '0.0 s',
      '59.9 s',
      '1 min 0 s',
      '2 min 5 s',
      '2 h 2 min',
    ]);
  });
});
