import { Duration, Stack, TimeZone } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { CfnEventInvokeConfig, type IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  ContextAttribute,
  Schedule,
  ScheduleExpression,
  ScheduleGroup,
  ScheduleTargetInput,
  TimeWindow,
} from 'aws-cdk-lib/aws-scheduler';
import { LambdaInvoke } from 'aws-cdk-lib/aws-scheduler-targets';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Audience } from '../core/model.ts';
import { meant, meantWildcard } from './acknowledged.ts';

/** No audience has this name: theirs begin with a letter or a digit. */
const TEND = '_tend';

export interface SchedulesProps {
  readonly audiences: readonly Audience[];
  readonly dispatch: IFunction;
  readonly forget: IFunction;
  readonly key: IKey;
  /** Minutes after its time within which a run begins. */
  readonly withinMinutes: number;
}

/** One schedule for every audience that has one. They live in a group of their own: an audience that is removed takes its schedule along. */
export class Schedules extends Construct {
  readonly group: ScheduleGroup;
  /** Events that were not taken, or not done. */
  readonly dead: Queue;

  constructor(scope: Construct, id: string, { audiences, dispatch, forget, key, withinMinutes }: SchedulesProps) {
    super(scope, id);
    this.group = new ScheduleGroup(this, 'Group');
    this.dead = new Queue(this, 'Dead', {
      encryption: QueueEncryption.KMS,
      encryptionMasterKey: key,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    // The scheduler's own dead letters are events that Lambda did not take; what a function took and could not do is Lambda's to keep.
    for (const [name, one] of Object.entries({ dispatch, forget })) {
      new CfnEventInvokeConfig(this, `Failed-${name}`, {
        functionName: one.functionName,
        qualifier: '$LATEST',
        maximumEventAgeInSeconds: 3_600,
        maximumRetryAttempts: 2,
        destinationConfig: { onFailure: { destination: this.dead.queueArn } },
      });
      one.addToRolePolicy(new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [this.dead.queueArn] }));
      one.addToRolePolicy(new PolicyStatement({ actions: ['kms:GenerateDataKey'], resources: [key.keyArn] }));
    }
    meant(this.dead, 'SQS3', 'It is the queue of dead letters itself; an alarm rings at the first one.');
    meantWildcard(
      Stack.of(this),
      `${forget.functionArn}:*`,
      "The scheduler's role may call every version of forget, and nothing else.",
    );
    meantWildcard(
      Stack.of(this),
      `${dispatch.functionArn}:*`,
      "The scheduler's role may call every version of dispatch, and nothing else.",
    );
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('scheduler.amazonaws.com') });
    // Schedules and their dead letters are encrypted.
    role.addToPolicy(new PolicyStatement({ actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [key.keyArn] }));
    // What people asked for is gone on with every hour, whatever the audiences' schedules are: `forget` makes requests of the erasures table
    // its own, asks destinations again, takes out of lists that no run looks at any more whoever refused, and deletes what is past its period.
    new Schedule(this, 'Tend', {
      scheduleName: TEND,
      scheduleGroup: this.group,
      description: 'Erasures, ledgers that no run looks at any more, and what is past its period',
      schedule: ScheduleExpression.rate(Duration.hours(1)),
      key,
      target: new LambdaInvoke(forget, {
        role,
        input: ScheduleTargetInput.fromObject({
          task: 'continue',
          input: {},
          holder: TEND,
          attempt: ContextAttribute.executionId,
        }),
        deadLetterQueue: this.dead,
        maxEventAge: Duration.minutes(50),
        retryAttempts: 1,
      }),
    });
    for (const audience of audiences) {
      const expression = expressionOf(audience);
      if (expression === undefined) continue;
      new Schedule(this, audience.name, {
        scheduleName: audience.name,
        scheduleGroup: this.group,
        description: `Runs of the audience ${audience.name}`,
        schedule: expression,
        timeWindow: windowOf(audience, withinMinutes),
        key,
        target: new LambdaInvoke(dispatch, {
          role,
          // `dispatch` makes one execution of a tick, however often the event comes.
          input: ScheduleTargetInput.fromObject({ audience: audience.name, tick: ContextAttribute.scheduledTime }),
          deadLetterQueue: this.dead,
          maxEventAge: Duration.hours(1),
          retryAttempts: 5,
        }),
      });
    }
  }
}

function expressionOf({ schedule }: Audience): ScheduleExpression | undefined {
  switch (schedule.kind) {
    case 'manual':
      return undefined;
    case 'rate': {
      const { amount, unit } = schedule.every;
      return ScheduleExpression.expression(`rate(${amount} ${unit}${amount === 1 ? '' : 's'})`);
    }
    case 'cron':
      return ScheduleExpression.expression(`cron(${schedule.expression})`, TimeZone.of(schedule.timeZone));
  }
}

/** A schedule of every few minutes means those minutes: the window is never more than a fifth of its interval. */
function windowOf(audience: Audience, withinMinutes: number): TimeWindow {
  const minutes = Math.min(withinMinutes, Math.floor(intervalMinutes(audience) / 5));
  return minutes < 1 ? TimeWindow.off() : TimeWindow.flexible(Duration.minutes(minutes));
}

const MINUTES: Readonly<Record<string, number>> = { minute: 1, hour: 60, day: 1_440 };

/** Minutes between two runs, of a rate; a day for what a cron expression says, which may be more often. */
export function intervalMinutes({ schedule }: Audience): number {
  if (schedule.kind === 'rate') return schedule.every.amount * (MINUTES[schedule.every.unit] ?? 1_440);
  if (schedule.kind === 'manual') return Number.POSITIVE_INFINITY;
  const [, hours = ''] = schedule.expression.split(' ');
  return /^\d+$/.test(hours) ? 1_440 : 60;
}
