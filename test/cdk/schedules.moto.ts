import {
  CreateScheduleCommand,
  CreateScheduleGroupCommand,
  GetScheduleCommand,
  SchedulerClient,
} from '@aws-sdk/client-scheduler';
import type { CreateScheduleCommandInput } from '@aws-sdk/client-scheduler';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { scheduledRun } from '../../functions/run-event.ts';
import { type Moto, startMoto } from '../support/moto.ts';
import { resources, templateOf } from './template.ts';

vi.setConfig({ testTimeout: 180_000 });

let moto: Moto;
let client: SchedulerClient;
beforeAll(async () => {
  moto = await startMoto();
  client = new SchedulerClient({
    endpoint: moto.endpoint,
    region: moto.region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
});
afterAll(async () => {
  client.destroy();
  await moto.close();
});

/** References of the template as the ARNs that CloudFormation would put there. */
const resolved = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_key, one: unknown) => {
    if (typeof one !== 'object' || one === null) return one;
    if ('Fn::GetAtt' in one || 'Ref' in one) return 'arn:aws:sqs:eu-central-1:123456789012:of-the-stack';
    return one;
  });

it('the schedules of the stack are taken by the Scheduler, and what one gives is the event of a run of its audience', async () => {
  const template = templateOf();
  const schedules = Object.values(resources(template, 'AWS::Scheduler::Schedule')).map(
    ({ Properties }) => ({ ...(resolved(Properties) as object), GroupName: 'sluice' }) as CreateScheduleCommandInput,
  );
  expect(schedules.length).toBeGreaterThan(3);
  await client.send(new CreateScheduleGroupCommand({ Name: 'sluice' }));
  for (const schedule of schedules) await client.send(new CreateScheduleCommand(schedule));

  const there = await client.send(new GetScheduleCommand({ Name: 'lapsed-vips', GroupName: 'sluice' }));
  expect(there).toMatchObject({
    ScheduleExpression: 'cron(0 6 * * ? *)',
    ScheduleExpressionTimezone: 'Europe/Berlin',
    State: 'ENABLED',
  });
  // What the Scheduler does with the attributes of its context: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
  const event = JSON.parse(String(there.Target?.Input).replace('<aws.scheduler.scheduled-time>', '2026-11-25T05:00:00Z')) as {
    audience: string;
    tick: string;
  };
  expect(scheduledRun(event.audience, event.tick)).toMatchObject({
    audience: 'lapsed-vips',
    tick: Date.parse('2026-11-25T05:00:00Z'),
    until: 'record',
    name: 'lapsed-vips-20261125T050000000Z',
  });
});
