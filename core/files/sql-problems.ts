import { isScalar } from 'yaml';
import type { Scalar } from 'yaml';
import type { Audience, Table, Workspace } from '../model.ts';
import type { SqlVerdict, Warehouse } from '../ports.ts';
import { inOrder } from '../problems.ts';
import { isNamed } from '../sql/audience.ts';
import type { Problem } from '../problems.ts';
import type { RuleId } from './rule-ids.ts';
import { parseSource, rangeOf, valueOf } from './source.ts';
import type { Place, Source } from './source.ts';
import { oneOfRole } from './tables.ts';

/**
 * Checks every audience written in SQL with an engine's own parser and binder: one SELECT of allowed functions over the tables of the
 * contracts, with one column, the customer id. `sources` are the texts of the workspace, by path; problems point into them.
 * Rejects only when the engine itself fails.
 */
export async function sqlProblems(
  workspace: Workspace,
  sources: ReadonlyMap<string, string>,
  validate: Warehouse['validate'],
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const audience of Object.values(workspace.audiences)) {
    if (!audience.sql) continue;
    const verdict = await validate(audience.sql.text, workspace.tables);
    const found = problemOf(verdict, workspace.tables) ?? retentionProblemOf(audience.sql.text, workspace.tables);
    if (found) place(audience, sources.get(audience.file), found, problems);
  }
  return inOrder(problems);
}

interface Found {
  readonly rule: RuleId;
  readonly message: string;
  readonly hint?: string;
  /** In the SQL text, from 0. */
  readonly offset?: number;
}

/** Hand-written SQL reads a table behind a query of its name, which a name with a schema can not be. */
function retentionProblemOf(sql: string, tables: readonly Table[]): Found | undefined {
  const table = tables.find((one) => one.retention !== undefined && one.physicalName.includes('.') && isNamed(one, sql));
  return table === undefined
    ? undefined
    : {
        rule: 'retention-in-sql',
        message: `The SQL asks "${table.physicalName}", of which policies/retention.yaml lets only a part be used.`,
        hint: `Give "${table.name}" a physicalName without a schema, or write the rule with "where".`,
      };
}

const WANTED = 'Select the customer id alone: SELECT customer_id FROM ...';

function problemOf(verdict: SqlVerdict, tables: readonly Table[]): Found | undefined {
  if (!verdict.ok) {
    const { message, suggestion, offset } = verdict;
    const sentence = /[.!?]$/.test(message.trim()) ? message.trim() : `${message.trim()}.`;
    return { rule: 'invalid-sql', message: sentence, hint: suggestion && `Did you mean "${suggestion}"?`, offset };
  }
  const names = verdict.columns.map((column) => column.name);
  const [column] = verdict.columns;
  if (names.length !== 1 || !column) {
    return {
      rule: 'sql-columns',
      message: `The SQL must have one column, customer_id; it has ${names.length}: ${names.join(', ')}.`,
      hint: WANTED,
    };
  }
  if (column.name.toLowerCase() !== 'customer_id') {
    return {
      rule: 'sql-columns',
      message: `The column of the SQL must be called customer_id, not ${column.name}.`,
      hint: `Write ${column.name} AS customer_id.`,
    };
  }
  const customers = oneOfRole(tables, 'customers');
  const id = customers?.columns.find((other) => other.name === customers.fields['customer_id']);
  if (id && isTextType(column.type) !== (id.type === 'string')) {
    return {
      rule: 'sql-columns',
      message: `customer_id of the SQL is of type ${column.type}, and in ${customers?.file} it is of type ${id.type}.`,
      hint: 'Select the id as the activation tables hold it.',
    };
  }
  return undefined;
}

const isTextType = (type: string): boolean => /char|string|text|uuid/i.test(type);

/** Reports at the place in the file that the offset means; at the start of the SQL when there is no offset or no file. */
function place(audience: Audience, text: string | undefined, found: Found, problems: Problem[]): void {
  const { rule, message, hint, offset } = found;
  const own: Problem[] = [];
  const source = text === undefined ? null : parseSource(audience.file, text, own);
  const node = source ? valueOf(source.root, 'sql') : undefined;
  if (!source || !isScalar(node)) {
    const { line, column } = audience.sql ?? { line: 1, column: 1 };
    problems.push({ rule, severity: 'error', file: audience.file, line, column, message, hint });
    return;
  }
  source.report(placeInScalar(source, node, offset), { rule, message, hint });
  problems.push(...own);
}

/**
 * Where a character of a scalar's value stands in the file. Block, plain and quoted scalars differ from their value only in white space
 * (and escapes of double quotes): so the n-th character that is no white space is the same in both.
 */
function placeInScalar(source: Source, node: Scalar, offset: number | undefined): Place {
  const [start, end] = contentOf(source, node);
  const value = String(node.value);
  const raw = source.text.slice(start, end);
  const first = start + (/\S/.exec(raw)?.index ?? 0);
  const quoted = node.type === 'QUOTE_DOUBLE' && raw.includes('\\');
  // Without an offset the first word is marked, not the whole text.
  const at = quoted ? 0 : Math.min(Math.max(offset ?? 0, 0), Math.max(0, value.trimEnd().length - 1));
  const solid = value.slice(0, at).replace(/\s/g, '').length;
  let seen = 0;
  for (let index = 0; index < raw.length; index += 1) {
    if (/\s/.test(raw[index] ?? '')) continue;
    if (seen === solid) {
      const word = /^[\w.]+/.exec(raw.slice(index))?.[0].length ?? 1;
      return [start + index, start + index + word];
    }
    // A quote is written twice inside single quotes and is one character of the value.
    if (node.type === 'QUOTE_SINGLE' && raw.startsWith("''", index)) index += 1;
    seen += 1;
  }
  return [first, first + 1];
}

/** Start and end of what is written of a scalar, without its quotes or the header of a block. */
function contentOf(source: Source, node: Scalar): readonly [number, number] {
  const [start, end] = rangeOf(node);
  if (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE') return [start + 1, end - 1];
  if (node.type !== 'BLOCK_LITERAL' && node.type !== 'BLOCK_FOLDED') return [start, end];
  const header = source.text.indexOf('\n', start);
  return [header === -1 ? start : header + 1, end];
}
