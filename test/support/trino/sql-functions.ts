import { readdirSync, readFileSync } from 'node:fs';
import { ROOT } from '../../project-files.ts';

/** Functions that write nothing for an engine to run, and what they are for. */
export const NOT_ASKED: Readonly<Record<string, string>> = {
  'core/sql/lake-tables.ts lakeTables': 'what Glue is told of our tables; the tables of the suite are made from it',
  'core/sql/lake-tables.ts receiptsTable': 'what Glue is told of the table of receipts',
  'core/sql/lake-tables.ts hiveType': 'names of types in Glue',
};

/** `file function`: whoever in core/ writes SQL. All exported functions of core/sql, and elsewhere whoever has a text with `sql` before it. */
export function sqlFunctions(): readonly string[] {
  const found = new Set<string>();
  for (const entry of readdirSync(`${ROOT}core`, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const file = `${entry.parentPath.slice(ROOT.length)}/${entry.name}`;
    const whole = file.startsWith('core/sql/');
    let inside: string | undefined;
    for (const line of readFileSync(`${ROOT}${file}`, 'utf8').split('\n')) {
      const declared = /^(export )?(?:async )?(?:function\*? (\w+)|const (\w+)\b.* = (?:async )?\(|const (\w+) = \($)/.exec(line);
      const name = declared?.[2] ?? declared?.[3] ?? declared?.[4];
      if (name !== undefined) inside = name;
      else if (/^\S/.test(line) && !/^[})]/.test(line)) inside = undefined;
      if (whole && declared?.[1] !== undefined && name !== undefined) found.add(`${file} ${name}`);
      if (!whole && inside !== undefined && /\bsql(?:: | = )[`'$]/.test(line)) found.add(`${file} ${inside}`);
    }
  }
  return [...found].toSorted();
}
