import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../cli/commands/index.ts';
import type { RunReport, SyncReport } from '../../core/run/report.ts';
import { noticeOf } from '../../functions/notice.ts';
import { pointed } from '../../functions/where.ts';

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

Run ${RUN}, 5,000 matched. More: sluice history --env aws --stage prod lapsed-vips`,
      state: 'done',
    });
  });

  it('of a run that is held: why, and the commands of both answers', () => {
    const why = `40 of 100 members would be removed.\nNothing was sent. If this is right: sluice approve ${RUN}. If not: sluice reject ${RUN}.`;
    const held = report({ state: 'held', held: why, syncs: [] });
    expect(noticeOf(RUN, 'lapsed-vips', { ended: 'report', report: held }, 'dev').text).toBe(
      `40 of 100 members would be removed.
Nothing was sent. If this is right: sluice approve --env aws ${RUN}. If not: sluice reject --env aws ${RUN}.


Run ${RUN}, 5,000 matched. More: sluice history --env aws lapsed-vips`,
    );
  });

  it('names every command that works there with the options that lead there, and no other', () => {
    const there = COMMANDS.filter(({ options }) => Object.hasOwn(options, 'env')).map(({ name }) => name);
    for (const { name } of COMMANDS)
      expect(pointed(`To do: sluice ${name}.`, 'prod')).toBe(
        `To do: sluice ${name}${there.includes(name) ? ' --env aws --stage prod' : ''}.`,
      );
    expect(there.length).toBeGreaterThan(10);
  });

  it('of a run that failed: the message, which holds nobody’s data, under a subject that a topic takes', () => {
    const told = noticeOf(RUN, 'a'.repeat(200), { ended: 'failed', error: 'WorkerLost', message: 'The step ended.' }, 'dev');
    expect(told.text).toBe(`The step ended.\n\nRun ${RUN}`);
    expect(told.subject).toHaveLength(100);
  });
});
