import { WarehouseError, PointerConflict } from '../core/ports.ts';
import { ChainDamaged } from '../core/receipts/chain.ts';
import { Stopped, StalePlan } from '../core/run/deliver.ts';
import { LeaseHeld } from '../core/run/lease.ts';
import { LedgerDamaged } from '../core/run/ledger-check.ts';
import { ErasureRefused } from '../core/forget/forget.ts';
import { RequestRefused } from '../core/forget/request.ts';
import { PlanHeld, PlanRefused } from '../core/run/operations.ts';
import { UnknownName } from '../core/run/relations.ts';
import { Unaccounted } from '../core/run/report.ts';
import {
  LogTaken,
  SecretUnusable,
  StoreBusy,
  StoreDamaged,
  StoreFull,
  StoreRefused,
  StoreUnavailable,
} from '../core/store-errors.ts';
import { NonDeterministic } from '../stores/journal.ts';
import { type Call, CommandFailed, EXIT, type Exit, UsageError } from './command.ts';
import { stopOnInterrupt } from './interrupt.ts';
import { progressOn } from './progress.ts';
import { problemsText } from './render/problems.ts';
import { openWorkspace, type OpenWorkspace } from './wiring.ts';
import { FOLDERS } from './workspace-files.ts';

/**
 * Opens the workspace of a call, does the work, closes it. Problems in the files end the command before anything else happens, with
 * exit code 2. `goOn` is the command that carries on after Ctrl-C. `memberKey`: the command names people.
 */
export async function inWorkspace(
  call: Call,
  goOn: string,
  work: (open: OpenWorkspace) => Promise<Exit>,
  { memberKey = false }: { readonly memberKey?: boolean } = {},
): Promise<Exit> {
  const { terminal, clock } = call;
  const stage = stageOf(call);
  const leaving = stage === undefined ? undefined : 'Leaving; what was begun on AWS goes on. Once more leaves at once.';
  using interrupt = stopOnInterrupt(terminal, goOn, leaving);
  const { stopped } = interrupt;
  // The clients of AWS are only loaded where they are used.
  const open =
    stage === undefined
      ? await openWorkspace(call.dir, { clock, onProgress: progressOn(terminal), stopped })
      : await import('./deployed-workspace.ts').then(({ openDeployedWorkspace }) =>
          openDeployedWorkspace(call.dir, { stage, clock, terminal, stopped, memberKey }),
        );
  if ('problems' in open) {
    call.terminal.say(open.texts.size === 0 ? noWorkspace(call.dir) : problemsText(open));
    return EXIT.files;
  }
  try {
    return await work(open);
  } finally {
    call.terminal.live.done();
    await open.close();
  }
}

/** The stage of `--env aws`; undefined for this machine. */
export function stageOf({ values }: Pick<Call, 'values'>): string | undefined {
  const { env = 'local', stage } = values;
  if (env !== 'local' && env !== 'aws') throw new UsageError(`"--env" is local or aws; got "${env}".`);
  if (env === 'local' && stage !== undefined) throw new UsageError('"--stage" goes with "--env aws".');
  if (stage !== undefined && !/^[a-z][a-z0-9-]{0,15}$/.test(stage)) throw new UsageError(`"${stage}" is no name of a stage.`);
  return env === 'aws' ? (stage ?? 'dev') : undefined;
}

/** What a failure of a run says to a person, and the exit code it means; undefined for what nobody expected. */
export function failureOf(error: unknown): { readonly message: string; readonly exit: Exit } | undefined {
  if (error instanceof CommandFailed) return { message: error.message, exit: error.exit };
  if (error instanceof PlanHeld) return { message: error.message, exit: EXIT.held };
  if (error instanceof UsageError || EXPECTED.some((kind) => error instanceof kind)) {
    return { message: (error as Error).message, exit: EXIT.failed };
  }
  if (error instanceof WarehouseError) {
    return { message: error.message, exit: error.kind === 'user' ? EXIT.files : EXIT.failed };
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (typeof code === 'string' && Object.hasOwn(SYSTEM, code)) {
    return {
      message: `${SYSTEM[code]} (${code}). What was acknowledged is safe; run the same command again afterwards.`,
      exit: EXIT.failed,
    };
  }
  return undefined;
}

const EXPECTED = [
  PlanRefused,
  ErasureRefused,
  RequestRefused,
  LeaseHeld,
  LedgerDamaged,
  StalePlan,
  Stopped,
  UnknownName,
  Unaccounted,
  PointerConflict,
  ChainDamaged,
  StoreFull,
  StoreDamaged,
  StoreBusy,
  StoreRefused,
  StoreUnavailable,
  LogTaken,
  NonDeterministic,
  SecretUnusable,
];

/** What is said where there are no files at all. */
export const noWorkspace = (dir: string): string =>
  `There is no workspace in ${dir}: none of ${FOLDERS.join(', ')} holds a file. Start one with "sluice init", or name it: --dir <folder>`;

const SYSTEM: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: make room where .sluice/ lies',
  EDQUOT: 'The disk quota is used up: make room where .sluice/ lies',
  EFBIG: 'A file grew larger than this machine allows',
  EROFS: 'The disk is read-only: .sluice/ must be writable',
  EACCES: 'A file may not be read or written: look at the permissions of the workspace and of .sluice/',
  EMFILE: 'Too many files are open on this machine',
};

/** The exit code of several runs: a failure outweighs files to change, these outweigh a hold. */
export function worst(exits: readonly Exit[]): Exit {
  return [EXIT.failed, EXIT.files, EXIT.held].find((exit) => exits.includes(exit)) ?? EXIT.done;
}
