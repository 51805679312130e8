import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectors } from '../../connectors/index.ts';
import { sqlProblems } from '../../core/files/sql-problems.ts';
import { loadWorkspace } from '../../core/files/workspace.ts';
import { readWorkspaceFiles } from '../../cli/workspace-files.ts';
import { openDuckDb } from '../../warehouses/duckdb.ts';

/**
 * How long the files of a large workspace take to check: the example shop with 500 audience files, one in fifty in SQL.
 * Prints the median of several rounds after the first, and the first, which is what a person waits for.
 * Goal (docs: numbers to reach): all of it under 2 s.
 */
const AUDIENCES = Number(process.argv[2] ?? 500);
const ROUNDS = 5;
const root = join(import.meta.dirname, '..', '..');

const files = new Map(await readWorkspaceFiles(root));
const rule = await readFile(join(root, 'audiences', 'lapsed-vips.yaml'), 'utf8');
const sql = await readFile(join(root, 'audiences', 'basket-builders.yaml'), 'utf8');
for (const path of [...files.keys()].filter((path) => path.startsWith('audiences/') && !/(staff|churned)\.yaml$/.test(path)))
  files.delete(path);
for (let index = 0; index < AUDIENCES - 2; index += 1) {
  const text = index % 50 === 0 ? sql.replace('180', String(index + 1)) : rule.replace('gte: 500', `gte: ${index}`);
  files.set(`audiences/generated-${index}.yaml`, text);
}

interface Time {
  /** Milliseconds: of the files, of the SQL, and of the processor for both (other work on the machine makes the first two longer). */
  readonly files: number;
  readonly sql: number;
  readonly cpu: number;
}

const check = async (): Promise<Time> => {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const { workspace, problems } = loadWorkspace(files, { connectors, environment: 'local' });
  const loaded = performance.now();
  if (!workspace || problems.length > 0) throw new Error(`The generated workspace has ${problems.length} problems.`);
  const warehouse = await openDuckDb({ dir: root, environment: 'local' });
  try {
    const found = await sqlProblems(workspace, files, (text, tables) => warehouse.validate(text, tables));
    if (found.length > 0) throw new Error(`The generated SQL has ${found.length} problems.`);
  } finally {
    await warehouse.close();
  }
  const { user, system } = process.cpuUsage(cpu);
  return { files: loaded - start, sql: performance.now() - loaded, cpu: (user + system) / 1000 };
};

const first = await check();
const more: Time[] = [];
for (let round = 0; round < ROUNDS; round += 1) more.push(await check());
const median = (of: (time: Time) => number): number => more.map(of).toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;

const ms = (value: number): string => `${Math.round(value)} ms`;
console.log(`${AUDIENCES} audience files, ${Math.ceil((AUDIENCES - 2) / 50)} of them in SQL`);
console.log(
  `first check    files ${ms(first.files)}, SQL ${ms(first.sql)}, together ${ms(first.files + first.sql)} (goal 2000 ms), processor ${ms(first.cpu)}`,
);
console.log(
  `later checks   files ${ms(median((time) => time.files))}, SQL ${ms(median((time) => time.sql))}, processor ${ms(median((time) => time.cpu))}`,
);
