import { Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  AlarmStatusWidget,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  MathExpression,
  Metric,
  TextWidget,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { METRICS } from '../core/metrics.ts';
import type { Audience } from '../core/model.ts';
import { intervalMinutes } from './schedules.ts';

export interface WatchProps {
  readonly stage: string;
  readonly audiences: readonly Audience[];
  /** By the name of their folder. */
  readonly functions: Readonly<Record<string, IFunction>>;
  readonly deadLetters: Readonly<Record<string, IQueue>>;
  /** Name of the group of schedules. */
  readonly scheduleGroup: string;
  readonly topic: ITopic;
  readonly lateAfterHours: number;
}

interface AlarmSpec {
  readonly id: string;
  /** A page of docs/runbooks/. */
  readonly runbook: string;
  readonly what: string;
  readonly metric: IMetric;
  readonly threshold: number;
  /** How many periods running. Default: one. */
  readonly periods?: number;
  /** Rings when the number is below the threshold, and when there is none. */
  readonly below?: true;
}

const HOUR = Duration.hours(1);
/** CloudWatch looks back seven days at most with periods of an hour. */
const MOST_HOURS = 7 * 24;

/** Alarms, each with its runbook, and one dashboard. An alarm is for what a person must do something about; the rest is on the dashboard. */
export class Watch extends Construct {
  readonly alarms: readonly Alarm[];
  readonly #stage: string;

  constructor(scope: Construct, id: string, props: WatchProps) {
    super(scope, id);
    this.#stage = props.stage;
    const specs = [
      ...this.#ofRuns(),
      ...ofSchedules(props.scheduleGroup),
      ...Object.entries(props.deadLetters).map(
        ([name, queue]): AlarmSpec => ({
          id: `DeadLetters-${name}`,
          runbook: 'dead-letters',
          what: `Events of ${name} lie in their dead-letter queue.`,
          metric: queue.metricApproximateNumberOfMessagesVisible({ period: Duration.minutes(5), statistic: 'max' }),
          threshold: 1,
        }),
      ),
      ...Object.entries(props.functions).flatMap(([name, fn]) => ofFunction(name, fn)),
      ...props.audiences.flatMap((audience) => this.#ofAudience(audience, props.lateAfterHours)),
    ];
    const action = new SnsAction(props.topic);
    this.alarms = specs.map((spec) => {
      const alarm = new Alarm(this, spec.id, {
        alarmDescription: `${spec.what} What to do: docs/runbooks/${spec.runbook}.md`,
        metric: spec.metric,
        threshold: spec.threshold,
        evaluationPeriods: spec.periods ?? 1,
        comparisonOperator: spec.below
          ? ComparisonOperator.LESS_THAN_THRESHOLD
          : ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        // No number is no trouble, but where the number is the sign of life.
        treatMissingData: spec.below ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
      });
      alarm.addAlarmAction(action);
      return alarm;
    });
    this.#dashboard(props);
  }

  #ofRuns(): AlarmSpec[] {
    const { names } = METRICS;
    return [
      {
        id: 'RunsFailed',
        runbook: 'failed-run',
        what: 'Runs ended with an error.',
        metric: this.#ours(names.failed),
        threshold: 1,
      },
      { id: 'RunsHeld', runbook: 'held-run', what: 'Runs wait for a person.', metric: this.#ours(names.held), threshold: 1 },
      {
        id: 'RejectedShare',
        runbook: 'rejected-rows',
        what: 'Destinations refused more than 5 % of what was sent in an hour.',
        metric: new MathExpression({
          label: 'rejected, percent',
          // Of a handful of members five percent says nothing.
          expression: 'IF(taken + rejected >= 100, 100 * rejected / (taken + rejected), 0)',
          usingMetrics: { taken: this.#ours(names.taken), rejected: this.#ours(names.rejected) },
          period: HOUR,
        }),
        threshold: 5,
      },
      {
        id: 'BudgetWaits',
        runbook: 'budget-exhausted',
        what: 'Deliveries wait, for six hours running, because a destination has no budget or quota left.',
        metric: this.#ours(names.budgetWaits),
        threshold: 1,
        periods: 6,
      },
      {
        id: 'QueryCutoffs',
        runbook: 'query-cutoff',
        what: 'Athena cancelled a query at its bytes cutoff.',
        metric: this.#ours(names.cutoffs),
        threshold: 1,
      },
      {
        id: 'ErasuresOpen',
        runbook: 'open-erasure',
        what: 'A destination has not confirmed an erasure for three days.',
        metric: this.#ours(names.erasuresOpen, 'min', Duration.hours(24)),
        threshold: 1,
        periods: 3,
      },
    ];
  }

  /** An audience with a schedule and no good run for longer than it may take: three of its intervals, or the stage's hours. */
  #ofAudience(audience: Audience, lateAfterHours: number): AlarmSpec[] {
    if (audience.schedule.kind === 'manual') return [];
    const hours = Math.min(MOST_HOURS, Math.ceil(Math.max((intervalMinutes(audience) * 3) / 60, lateAfterHours)));
    return [
      {
        id: `Late-${audience.name}`,
        runbook: 'late-audience',
        what: `The audience ${audience.name} of ${audience.owner} had no good run for ${hours} hours.`,
        metric: this.#ours(METRICS.names.done, 'sum', HOUR, audience.name),
        threshold: 1,
        periods: hours,
        below: true,
      },
    ];
  }

  #ours(name: string, statistic = 'sum', period = HOUR, audience?: string): Metric {
    return new Metric({
      namespace: METRICS.namespace,
      metricName: name,
      dimensionsMap: { [METRICS.stage]: this.#stage, ...(audience !== undefined && { [METRICS.audience]: audience }) },
      statistic,
      period,
    });
  }

  #dashboard({ audiences, functions, scheduleGroup }: WatchProps): void {
    const { names } = METRICS;
    const graph = (title: string, ...left: IMetric[]): GraphWidget => new GraphWidget({ title, left, width: 12, height: 6 });
    const ours = (...of: string[]): IMetric[] => of.map((name) => this.#ours(name));
    const dashboard = new Dashboard(this, 'Dashboard', { dashboardName: `${Stack.of(this).stackName}-${Stack.of(this).region}` });
    dashboard.addWidgets(
      new TextWidget({
        markdown: `# Sluice, ${this.#stage}\nWhat to do when something is red: docs/runbooks/ of the deployed version.`,
        width: 24,
        height: 2,
      }),
    );
    dashboard.addWidgets(new AlarmStatusWidget({ title: 'Alarms', alarms: [...this.alarms], width: 24, height: 6 }));
    dashboard.addWidgets(
      graph('Runs', ...ours(names.done, names.held, names.failed)),
      graph('Members', ...ours(names.taken, names.rejected, names.withheld)),
    );
    dashboard.addWidgets(
      graph(
        'Good runs by audience',
        ...audiences.map((audience) => this.#ours(names.done, 'sum', HOUR, audience.name).with({ label: audience.name })),
      ),
      graph('Athena: bytes scanned, cutoffs', ...ours(names.bytesScanned, names.cutoffs)),
    );
    dashboard.addWidgets(
      graph('Privacy: seconds from withdrawal to removal, open erasures', ...ours(names.withdrawalSeconds, names.erasuresOpen)),
      graph('Waits for a budget', ...ours(names.budgetWaits)),
    );
    dashboard.addWidgets(
      graph('Functions: duration', ...Object.values(functions).map((fn) => fn.metricDuration({ statistic: 'p99' }))),
      graph(
        'Functions and schedules: errors',
        ...Object.values(functions).map((fn) => fn.metricErrors()),
        scheduler(scheduleGroup, 'TargetErrorCount'),
      ),
    );
  }
}

function ofSchedules(group: string): AlarmSpec[] {
  return [
    {
      id: 'SchedulesDropped',
      runbook: 'schedule-did-not-fire',
      what: 'The scheduler gave up on starting a run.',
      metric: scheduler(group, 'InvocationDroppedCount'),
      threshold: 1,
    },
    {
      id: 'SchedulesRefused',
      runbook: 'schedule-did-not-fire',
      what: 'Runs could not be started at the first try.',
      metric: scheduler(group, 'TargetErrorCount'),
      threshold: 3,
    },
  ];
}

function ofFunction(name: string, fn: IFunction): AlarmSpec[] {
  return [
    {
      id: `Errors-${name}`,
      runbook: 'function-errors',
      what: `The function ${name} failed five times in an hour.`,
      metric: fn.metricErrors({ period: HOUR }),
      threshold: 5,
    },
    {
      id: `Throttles-${name}`,
      runbook: 'function-errors',
      what: `The account's concurrency held the function ${name} back.`,
      metric: fn.metricThrottles({ period: HOUR }),
      threshold: 50,
    },
  ];
}

/** https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html, read 2026-11-25. */
function scheduler(group: string, metricName: string): Metric {
  return new Metric({
    namespace: 'AWS/Scheduler',
    metricName,
    dimensionsMap: { ScheduleGroup: group },
    statistic: 'sum',
    period: HOUR,
  });
}
