import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** The folders that make a workspace, and where their files may lie: directly in them. */
export const FOLDERS = ['audiences', 'contracts', 'destinations', 'policies'] as const;

/** The files of a workspace: path relative to it, with `/` -> text; in the order of the paths. */
export type WorkspaceFiles = ReadonlyMap<string, string>;

/** Reads all YAML files of a workspace. A folder that is not there has none; other files in the folders are left alone. */
export async function readWorkspaceFiles(dir: string): Promise<WorkspaceFiles> {
  const files = new Map<string, string>();
  for (const folder of FOLDERS) {
    const entries = await readdir(join(dir, folder), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
      throw error;
    });
    const paths = entries.filter((entry) => entry.isFile()).map((entry) => `${folder}/${entry.name}`);
    for (const path of paths.filter(isWorkspaceFile).sort()) files.set(path, await readFile(join(dir, path), 'utf8'));
  }
  return files;
}

/** Whether a path relative to the workspace is one of its files. */
export const isWorkspaceFile = (path: string): boolean => {
  const [folder = '', name = '', ...deeper] = path.split('/');
  return FOLDERS.some((one) => one === folder) && deeper.length === 0 && /^[^.].*\.ya?ml$/.test(name);
};
