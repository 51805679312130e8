import { METRICS } from '../core/metrics.ts';

type Name = keyof typeof METRICS.names;

/**
 * Writes metrics as one line of CloudWatch's embedded format, which the log of a Lambda is read for: no request, nothing to fail.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html, read 2026-11-25.
 *
 * @param audience adds the second dimension
 */
export function putMetrics(values: Readonly<Partial<Record<Name, number>>>, stage: string, audience?: string): void {
  const metrics = Object.entries(values).map(([name, value]) => [METRICS.names[name as Name], value] as const);
  const dimensions = [[METRICS.stage], ...(audience === undefined ? [] : [[METRICS.stage, METRICS.audience]])];
  console.log(
    JSON.stringify({
      _aws: {
        Timestamp: Date.now(),
        CloudWatchMetrics: [
          { Namespace: METRICS.namespace, Dimensions: dimensions, Metrics: metrics.map(([Name]) => ({ Name, Unit: 'Count' })) },
        ],
      },
      [METRICS.stage]: stage,
      ...(audience !== undefined && { [METRICS.audience]: audience }),
      ...Object.fromEntries(metrics),
    }),
  );
}
