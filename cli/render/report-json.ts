import type { RunReport, SyncReport } from '../../core/run/report.ts';

/** One element of what `sluice plan --json` and `sluice sync --json` print; only `sync` has `outcomes`. */
export function reportJson(report: RunReport): Record<string, unknown> {
  const changed = Object.entries(report.policies ?? {}).flatMap(([name, { version, before }]) =>
    before === undefined ? [] : [[name, { from: before, to: version }] as const],
  );
  return {
    audience: report.audience,
    plan: report.run,
    matched: report.matched,
    ...(changed.length > 0 && { policiesChanged: Object.fromEntries(changed) }),
    ...(report.quality && { quality: report.quality }),
    ...(report.linkage && { linkage: report.linkage }),
    ...(report.usage && { usage: report.usage }),
    ...stopOf(report),
    syncs: report.syncs.map(syncJson),
  };
}

/** `held` where a person must look, `error` where files or tables must change. */
function stopOf(report: RunReport): Record<string, string> {
  if (report.held !== undefined) return { held: report.held };
  if (report.findings === undefined) return {};
  return { [report.state === 'held' ? 'held' : 'error']: report.findings.map(({ message }) => message).join('\n') };
}

function syncJson(sync: SyncReport): Record<string, unknown> {
  return {
    destination: sync.destination,
    mode: sync.mode,
    ...(sync.rollout === undefined ? {} : { rollout: sync.rollout }),
    add: sync.add,
    update: sync.update,
    remove: sync.remove,
    unchanged: sync.unchanged,
    withheld: sync.withheld,
    requests: sync.requests,
    seconds: sync.seconds,
    ...(sync.outcomes === undefined ? {} : { outcomes: sync.outcomes }),
    ...(sync.rejections === undefined || sync.rejections.length === 0 ? {} : { rejections: sync.rejections }),
    ...(sync.error === undefined ? {} : { error: sync.error }),
  };
}
