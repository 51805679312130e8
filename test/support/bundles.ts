import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BUNDLE, bundle } from '../../functions/bundling.ts';
import type { FunctionName } from '../../functions/environment.ts';

export interface Bundle {
  readonly name: FunctionName;
  readonly path: string;
  readonly bytes: number;
  /** Bytes of each package in it, largest first. */
  readonly parts: readonly (readonly [string, number])[];
}

/** Makes the bundles as they are deployed, a folder each under `to`, with what they know of a workspace beside them. */
export async function makeBundles(names: readonly FunctionName[], to: string, workspace: string): Promise<readonly Bundle[]> {
  rmSync(to, { recursive: true, force: true });
  return Promise.all(
    names.map(async (name) => {
      const { outputs } = await bundle(name, join(to, name), workspace);
      const path = join(to, name, BUNDLE);
      const sizes = new Map<string, number>();
      for (const output of Object.values(outputs)) {
        for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
          const part = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? `${input.split('/')[0]}/`;
          sizes.set(part, (sizes.get(part) ?? 0) + bytesInOutput);
        }
      }
      return { name, path, bytes: statSync(path).size, parts: [...sizes].toSorted((a, b) => b[1] - a[1]) };
    }),
  );
}
