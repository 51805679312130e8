import { DateTime } from 'luxon';
import type { Workspace } from '../core/model.ts';
import type { RunReport } from '../core/run/report.ts';
import { type Call, EXIT, type Exit, UsageError } from './command.ts';
import { reportJson } from './render/report-json.ts';
import { reportText } from './render/report.ts';
import { failureOf, worst } from './session.ts';

/** `--tick` as epoch milliseconds; undefined when it was not given. Refuses what is no ISO 8601 instant with its offset. */
export function tickOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const instant = DateTime.fromISO(value, { setZone: true });
  if (!instant.isValid || !/[zZ]$|[+-]\d\d(:?\d\d)?$/.test(value)) {
    throw new UsageError(`"${value}" is no instant. Write it like 2026-11-22T06:00:00Z or 2026-11-22T07:00:00+01:00.`);
  }
  return instant.toMillis();
}

/**
 * Runs `each` for every name in turn and prints the reports: as they come for people, as one array at the end with `--json`.
 * One that fails does not keep the others from running. The exit code is the worst of all.
 */
export async function runEach(
  call: Call,
  { audiences }: Pick<Workspace, 'audiences'>,
  names: readonly string[],
  each: (name: string) => Promise<readonly RunReport[]>,
): Promise<Exit> {
  const { terminal, json } = call;
  const reports: RunReport[] = [];
  const exits: Exit[] = [];
  for (const name of names) {
    try {
      for (const report of await each(name)) {
        terminal.live.done();
        if (!json)
          terminal.print(
            `${reports.length === 0 ? '' : '\n'}${reportText(report, terminal.style, audiences[report.audience]?.owner)}`,
          );
        reports.push(report);
        exits.push(report.code);
      }
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      terminal.say(failure.message);
      exits.push(failure.exit);
    }
  }
  if (json) terminal.print(JSON.stringify(reports.map(reportJson), null, 2));
  return exits.length === 0 ? EXIT.done : worst(exits);
}
