import { readFileSync } from 'node:fs';
import type { Workspace } from '../core/model.ts';
import type { Platform } from './platforms.ts';

/** What a function knows of the workspace it was deployed with: JSON, beside its bundle. */
export interface Deployed {
  /** Parsed and checked when the bundle was made (functions/bundling.ts). */
  readonly workspace: Workspace;
  /** Of the files it was parsed from, as everywhere. */
  readonly digest: string;
  readonly platforms: Readonly<Record<string, Platform>>;
}

/** The name of the file beside the bundle. */
export const WORKSPACE = 'workspace.json';

/**
 * The workspace this function was deployed with: code and files of one version are one thing, so a run that began under them ends under
 * them, whatever is deployed meanwhile.
 */
export const deployed = (): Deployed => readDeployed(readFileSync(new URL(`./${WORKSPACE}`, import.meta.url), 'utf8'));

/** Under a name that no file has there is nothing, `constructor` included: as the parser of the files leaves it. */
export const readDeployed = (text: string): Deployed =>
  JSON.parse(text, (_key, value: unknown) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) Object.setPrototypeOf(value, null);
    return value;
  }) as Deployed;
