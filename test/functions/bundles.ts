import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { ENTRIES } from '../../functions/bundling.ts';
import { makeBundles } from '../support/bundles.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder with a folder for every function, its bundle in it. */
    bundles: string;
  }
}

let folder: string;

/** Makes the bundles once for all files of a run of the suite; each deployment adds its workspace. */
export async function setup(project: TestProject): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'sluice-bundles-'));
  await makeBundles(ENTRIES, join(folder, 'bundles'), '');
  project.provide('bundles', join(folder, 'bundles'));
}

export const teardown = (): void => rmSync(folder, { recursive: true, force: true });
