import { PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import type { RunReport } from '../core/run/report.ts';
import { environmentOf } from './environment.ts';
import { log } from './log.ts';
import { putMetrics } from './metrics.ts';
import { noticeOf } from './notice.ts';
import type { PublishInput } from './outcome.ts';
import type { Answered, Asked } from './worker.ts';

const client = new SNSClient({ maxAttempts: 5 });

/** Tells the outcome of a run: metrics for alarms, and a message that an owner can filter by its attributes. */
export const handler = async ({ input }: Asked): Promise<Answered> => {
  const env = environmentOf('publish', process.env);
  const { run, audience, owner, outcome } = input as PublishInput;
  const { subject, text, state } = noticeOf(run, audience, outcome, env.SLUICE_STAGE);
  const attribute = (value: string) => ({ DataType: 'String', StringValue: value === '' ? '-' : value });
  putMetrics(
    {
      done: state === 'done' ? 1 : 0,
      held: state === 'held' ? 1 : 0,
      failed: state === 'failed' ? 1 : 0,
      ...('error' in outcome && outcome.error === 'CapacityExceeded' && { cutoffs: 1 }),
      ...(outcome.ended === 'report' && countsOf(outcome.report)),
    },
    env.SLUICE_STAGE,
    audience,
  );
  await client.send(
    new PublishCommand({
      TopicArn: env.SLUICE_TOPIC,
      Subject: subject,
      Message: text,
      MessageAttributes: { audience: attribute(audience), owner: attribute(owner), state: attribute(state) },
    }),
  );
  log.info('told', { run, audience, state });
  return { result: null };
};

function countsOf({ syncs }: RunReport): { taken: number; rejected: number; withheld: number } {
  const sum = (of: (sync: RunReport['syncs'][number]) => number): number => syncs.reduce((total, sync) => total + of(sync), 0);
  return {
    taken: sum(({ outcomes }) => (outcomes?.delivered ?? 0) + (outcomes?.accepted ?? 0)),
    rejected: sum(({ outcomes }) => outcomes?.rejected ?? 0),
    withheld: sum(({ withheld }) => Object.values(withheld).reduce((total, n) => total + n, 0)),
  };
}
