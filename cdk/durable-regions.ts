/**
 * Regions in which Lambda durable functions were seen to exist: launch announcement 2025-12, samples of 2026-02. AWS publishes no list
 * that was found, so a region outside it is not known to lack them. Read 2026-11-22.
 */
const SEEN: readonly string[] = ['us-east-1', 'us-east-2', 'us-west-2', 'eu-west-1', 'eu-central-1', 'ap-southeast-1'];

/** Why the region cannot be deployed to, with the way out; undefined when it can, or when the region is not known before the deploy. */
export function withoutDurableFunctions(region: string | undefined, confirmed: boolean, stage: string): string | undefined {
  if (region === undefined || confirmed || SEEN.includes(region)) return undefined;
  return (
    `A run is a Lambda durable function, and ${region} is not known to have them. Nothing was deployed.\n` +
    `Deploy to one of ${SEEN.join(', ')}; or, when the Lambda console of ${region} offers durable functions, ` +
    `set "durable_functions": true in cdk.json under context.sluice.${stage}.`
  );
}
