import { join, resolve } from 'node:path';
import { createHttp } from '../connectors/http.ts';
import { connectors } from '../connectors/index.ts';
import { digestOf } from '../core/files/digest.ts';
import { sqlProblems } from '../core/files/sql-problems.ts';
import { loadWorkspace } from '../core/files/workspace.ts';
import type { Destination, Workspace } from '../core/model.ts';
import { inOrder } from '../core/problems.ts';
import type { Clock } from '../core/ports.ts';
import { openDestinations, type Override } from '../core/run/destinations.ts';
import type { Operations } from '../core/run/operations.ts';
import type { Progress, RunPorts } from '../core/run/ports.ts';
import { thisProcess } from '../stores/holder.ts';
import { openJournal } from '../stores/journal.ts';
import { openLocalStore } from '../stores/local.ts';
import { localSecrets } from '../stores/secrets-local.ts';
import { systemClock } from '../stores/system-clock.ts';
import { openDuckDb } from '../warehouses/duckdb.ts';
import { type Actions, localActions } from './actions.ts';
import type { Deployment } from './deployment.ts';
import { memberKey } from './member-key.ts';
import { openSigner } from './signing-key.ts';
import type { Found } from './render/problems.ts';
import { readWorkspaceFiles, type WorkspaceFiles } from './workspace-files.ts';

export interface OpenOptions {
  /** Which of the contracts' servers is read. Default: the variable SLUICE_ENVIRONMENT, else `local`. */
  readonly environment?: string;
  /** Another endpoint and secret for a destination: a stand-in, without a change to its file. Undefined: as the file says. */
  readonly overrideFor?: (destination: Destination) => Override | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** For one HTTP exchange, milliseconds. Default: the variable SLUICE_HTTP_TIMEOUT_MS, else a minute. */
  readonly timeoutMs?: number;
  readonly onProgress?: (event: Progress) => void;
  readonly stopped?: () => boolean;
}

export interface OpenWorkspace {
  readonly workspace: Workspace;
  readonly operations: Operations;
  readonly ports: RunPorts;
  readonly actions: Actions;
  /** Which of the contracts' servers is read. */
  readonly environment: string;
  /** Where it is a stack on AWS that is read, and asked to act. */
  readonly deployment?: Deployment;
  close(): Promise<void>;
}

/** The folder of a workspace that is not part of its files: state, secrets, the member key. */
export const STATE = '.sluice';

/** The files of a workspace with everything that is wrong in them; no data is read and nothing is written. */
export async function checkWorkspace(
  dir: string,
  environment = environmentOf(),
): Promise<Found & { readonly workspace: Workspace | null }> {
  return checkFiles(dir, await readWorkspaceFiles(dir), environment);
}

/** The same of files that need not lie in the folder: another revision's. */
export async function checkFiles(
  dir: string,
  texts: WorkspaceFiles,
  environment = environmentOf(),
): Promise<Found & { readonly workspace: Workspace | null }> {
  const { workspace, problems } = loadWorkspace(texts, { connectors, environment });
  // The engine is only started for what only an engine can check.
  if (workspace === null || !Object.values(workspace.audiences).some(({ sql }) => sql !== undefined))
    return { texts, problems, workspace };
  const warehouse = await openDuckDb({ dir, environment });
  try {
    const inSql = await sqlProblems(workspace, texts, (sql, tables) => warehouse.validate(sql, tables));
    return { texts, problems: inOrder([...problems, ...inSql]), workspace };
  } finally {
    await warehouse.close();
  }
}

/**
 * A workspace on this machine, ready to run: files read and checked, DuckDB, the local store under `.sluice`, secrets, HTTP.
 * With an error in the files it answers with what was found instead. Close it when done.
 */
export async function openWorkspace(dir: string, options: OpenOptions = {}): Promise<OpenWorkspace | Found> {
  const { clock = systemClock, environment = environmentOf() } = options;
  const { workspace, ...found } = await checkWorkspace(dir, environment);
  if (workspace === null || found.problems.some(({ severity }) => severity === 'error')) return found;

  const root = join(dir, STATE);
  const key = await memberKey(root);
  const store = await openLocalStore({ root, clock });
  const warehouse = await openDuckDb({ dir, environment, temporary: join(root, 'spill') });
  const destinations = openDestinations({
    connectors,
    secrets: localSecrets(process.env, join(root, 'secrets.yaml')),
    createHttp,
    overrideFor: options.overrideFor ?? (() => undefined),
    timeoutMs: options.timeoutMs ?? timeoutOf(process.env.SLUICE_HTTP_TIMEOUT_MS),
    now: () => clock.now(),
    tokens: store.tokens,
    resolvePath: (path) => resolve(dir, path),
  });
  const ports: RunPorts = {
    workspace,
    digest: digestOf(found.texts),
    warehouse,
    store,
    connectors,
    contextFor: destinations.contextFor,
    clock,
    memberKey: key,
    signer: await openSigner(root),
    holder: thisProcess(),
    ...(options.onProgress && { onProgress: options.onProgress }),
    ...(options.stopped && { stopped: options.stopped }),
  };
  const operations: Operations = {
    ports,
    journal: (run, tasks) => openJournal(join(root, 'runs', run, 'journal.jsonl'), tasks, clock),
  };
  return {
    workspace,
    ports,
    operations,
    actions: localActions(operations),
    environment,
    async close() {
      await destinations.close();
      await warehouse.close();
      await store.close();
    },
  };
}

const environmentOf = (): string => process.env.SLUICE_ENVIRONMENT ?? 'local';

function timeoutOf(text: string | undefined): number | undefined {
  const ms = Number(text);
  return text !== undefined && ms > 0 ? ms : undefined;
}
