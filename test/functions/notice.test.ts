import { describe, expect, it } from 'vitest';
import type { RunReport, SyncReport } from '../../core/run/report.ts';
import { noticeOf } from '../../functions/notice.ts';

const RUN = '01JD0V3Z5Q4X8R2N6M9K7H1GTB';
const sync = {
  destination: 'meta-eu',
  add: 1_200,
  update: 3,
  remove: 40,
  outcomes: { delivered: 0, accepted: 1_200, rejected: 3, retry: 0 },
} as unknown as SyncReport;
const report = (more: Partial<RunReport>): RunReport =>
  ({ run: RUN, audience: 'lapsed-vips', matched: 5_000, state: 'done', syncs: [sync], ...more }) as RunReport;

describe('what an owner is told', () => {
  it('of a run that is done: counts for each destination, and where there is more', () => {
    expect(noticeOf(RUN, 'lapsed-vips', { ended: 'report', report: report({}) }, 'prod')).toEqual({
      subject: 'Sluice: lapsed-vips done',
      text: `meta-eu: 1,200 added, 3 updated, 40 removed, 3 rejected.

Run ${RUN}, 5,000 matched. More: sluice history lapsed-vips --env aws --stage prod`,
      state: 'done',
    });
  });

  it('of a run that is held: why, and the commands of both answers', () => {
    const held = report({ state: 'held', held: 'meta-eu: 40 % would be removed, max_removed is 10 %.', syncs: [] });
    expect(noticeOf(RUN, 'lapsed-vips', { ended: 'report', report: held }, 'dev').text).toBe(
      `meta-eu: 40 % would be removed, max_removed is 10 %.
It is right: sluice approve ${RUN} --env aws --stage dev
It is wrong: sluice reject ${RUN} --env aws --stage dev


Run ${RUN}, 5,000 matched. More: sluice history lapsed-vips --env aws --stage dev`,
    );
  });

  it('of a run that failed: the message, which holds nobody’s data, under a subject that a topic takes', () => {
    const told = noticeOf(RUN, 'a'.repeat(200), { ended: 'failed', error: 'WorkerLost', message: 'The step ended.' }, 'dev');
    expect(told.text).toBe(`The step ended.\n\nRun ${RUN}`);
    expect(told.subject).toHaveLength(100);
  });
});
