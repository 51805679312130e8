import { readFile } from 'node:fs/promises';
import { auditCustomer, auditRun } from '../../core/receipts/audit.ts';
import { type KeptHead, type SyncChain, verifyReceipts } from '../../core/receipts/verify.ts';
import { type Call, type Command, CommandFailed, EXIT, type Exit, UsageError, WHERE } from '../command.ts';
import { customerIdOf } from '../customer-id.ts';
import { customerAuditText, runAuditText, verdictText } from '../render/audit.ts';
import { inWorkspace } from '../session.ts';
import type { OpenWorkspace } from '../wiring.ts';

export const audit: Command = {
  name: 'audit',
  summary: 'what was ever sent about a person, from the receipts; --verify proves them',
  arguments: '[customer-id | -]',
  takes: [0, 1],
  options: {
    run: { value: 'id', help: 'what this run sent, counted' },
    verify: { help: 'look whether every receipt is there and as it was written' },
    against: { value: 'file', help: 'with --verify: also hold them against what "--verify --json" printed then' },
    ...WHERE,
  },
  details: `"-" reads the customer id from stdin, so that it is in no shell history. Also tells of a person whose rows are gone, and of ids merged into theirs.
With --verify the exit code is 1 when a receipt is altered, missing or added, and the run is named.

  printf %s "$CUSTOMER" | sluice audit -
  sluice audit --run 01JD0V3Z5Q4X8R2N6M9K7H1GTB
  sluice audit --verify --json > heads.json      keep it elsewhere, and later: sluice audit --verify --against heads.json`,
  async run(call) {
    const { run, against } = call.values;
    const verify = call.switches.has('verify');
    const asked = [call.arguments.length > 0, run !== undefined, verify].filter(Boolean).length;
    if (asked !== 1) throw new UsageError('"sluice audit" takes one of: a customer id (or "-"), "--run <id>", "--verify".');
    if (against !== undefined && !verify) throw new UsageError('"--against" goes with "--verify".');
    if (verify) return inWorkspace(call, 'sluice audit --verify', async (open) => verifyAll(call, open, await headsIn(against)));
    if (run !== undefined) return inWorkspace(call, `sluice audit --run ${run}`, (open) => ofRun(call, open, run));
    const id = await customerIdOf(call.arguments[0] ?? '');
    return inWorkspace(call, 'sluice audit', (open) => ofCustomer(call, open, id), { memberKey: true });
  },
};

async function ofCustomer(call: Call, { ports }: OpenWorkspace, id: string): Promise<Exit> {
  const found = await auditCustomer(ports, id, call.clock.now());
  if (call.json) call.terminal.print(JSON.stringify(found, null, 2));
  else for (const line of customerAuditText(found)) call.terminal.print(line);
  if (found.unreadable.length === 0) return EXIT.done;
  call.terminal.say(
    `The receipts of ${found.unreadable.join(', ')} cannot be read, so this may not be all. Look: sluice audit --verify`,
  );
  return EXIT.failed;
}

async function ofRun(call: Call, { ports }: OpenWorkspace, run: string): Promise<Exit> {
  const rows = await auditRun(ports, run, call.clock.now());
  if (call.json) call.terminal.print(JSON.stringify(rows, null, 2));
  else if (rows.length === 0)
    call.terminal.say(
      `Run ${run} has no receipts: it sent nothing, or there is none of that id. Runs are listed by: sluice history`,
    );
  else for (const line of runAuditText(rows)) call.terminal.print(line);
  return EXIT.done;
}

async function verifyAll(call: Call, { ports }: OpenWorkspace, known: readonly KeptHead[]): Promise<Exit> {
  const verdict = await verifyReceipts(ports, { known, now: call.clock.now() });
  if (call.json) call.terminal.print(JSON.stringify(verdict, null, 2));
  else for (const line of verdictText(verdict, call.terminal.style)) call.terminal.print(line);
  return verdict.whole ? EXIT.done : EXIT.failed;
}

/** The heads of a file that `--verify --json` printed once. */
async function headsIn(file: string | undefined): Promise<readonly KeptHead[]> {
  if (file === undefined) return [];
  const wrong = (why: string, cause?: unknown) =>
    new CommandFailed(`${file} ${why}. It must hold what "sluice audit --verify --json" printed.`, EXIT.failed, { cause });
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw wrong('cannot be read', error);
  });
  let parsed: { readonly syncs?: readonly SyncChain[] } | null;
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch (error) {
    throw wrong('is no JSON', error);
  }
  if (!Array.isArray(parsed?.syncs)) throw wrong('names no syncs');
  return parsed.syncs.flatMap(({ audience, destination, head }: SyncChain) =>
    head === null ? [] : [{ audience, destination, ...head }],
  );
}
