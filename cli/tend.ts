import { continueForget } from '../core/forget/forget.ts';
import type { RunPorts } from '../core/run/ports.ts';
import { tendLedgers } from '../core/run/demanded.ts';
import { type Call, EXIT, type Exit } from './command.ts';
import { erasureText } from './render/erasure.ts';
import { reportText } from './render/report.ts';
import { failureOf, worst } from './session.ts';

/**
 * What a sync owes people before it sends anything: erasures that are not done are gone on with, requests of the erasures table begun, and
 * ledgers that no run looks at lose who refused. Said on stderr; a failure here keeps nobody from being synced.
 */
export async function tend(call: Call, ports: RunPorts, until: number): Promise<Exit> {
  const { terminal } = call;
  const exits: Exit[] = [];
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      terminal.say(failure.message);
      exits.push(failure.exit);
    }
  };
  await guarded(async () => {
    for (const erasure of await continueForget(ports, until)) {
      terminal.say(erasureText(erasure, plain));
      if (erasure.status === 'in_progress') exits.push(EXIT.failed);
    }
  });
  await guarded(async () => {
    const { reports, failed } = await tendLedgers(ports, until);
    for (const report of reports) {
      terminal.say(`A list of "${report.audience}" still held people who refused, and whom no run of it looks at any more:`);
      terminal.say(reportText(report, plain));
      exits.push(report.code);
    }
    for (const { error } of failed) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      terminal.say(failure.message);
      exits.push(failure.exit);
    }
  });
  return exits.length === 0 ? EXIT.done : worst(exits);
}

const plain = (_style: unknown, text: string): string => text;
