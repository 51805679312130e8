import { conditionText } from '../files/rule-text.ts';
import type { TraitValue } from '../connector.ts';
import type { Audience, Column, Rule, Workspace } from '../model.ts';
import type { Cell, Query, Row } from '../ports.ts';
import { Audiences } from '../sql/audience.ts';
import { canonicalText, valueOf } from '../sql/canonical.ts';
import { quoteName, quoteText } from '../sql/literal.ts';
import { type RuleScope, ruleSql } from '../sql/rule.ts';

/** One condition of an audience's rule, and whether a customer meets it. */
export interface Clause {
  /** As the audience file says it; `all`, `any` and `not` hold the clauses under them. */
  readonly text: string;
  /** `unknown`: it tests a value that is missing, so neither it nor its negation is met. */
  readonly is: 'met' | 'not met' | 'unknown';
  /** What the customer has: the value tested, or the number of events. Only where it was asked for: it is personal data. */
  readonly value?: TraitValue;
  readonly clauses: readonly Clause[];
}

/** A clause before it is asked: SQL of its boolean and of its value. */
interface Open {
  readonly text: string;
  readonly sql: string;
  /** SQL of a canonical text, and the type that it is read as. */
  readonly value?: { readonly sql: string; readonly type: Column['type'] };
  readonly clauses: readonly Open[];
}

/** The rule of an audience for one customer: the query that asks for every clause at once, and how its row reads. */
export interface ClauseQuestion {
  readonly query: Query;
  /** The clauses of a row of `query`; null when there is no row: no such customer. */
  read(row: Row | undefined): { readonly clause: Clause; readonly excludedBy: readonly string[] } | null;
}

/**
 * Asks for every clause of an audience's rule, and for every audience it excludes, with the same SQL that a run has for the whole.
 * @param values whether the values that are tested are asked for too
 */
export function clauseQuestion(
  audience: Audience,
  workspace: Workspace,
  { customerId, tick, values }: { readonly customerId: string; readonly tick: number; readonly values: boolean },
): ClauseQuestion {
  const audiences = new Audiences(workspace, tick);
  const root = ofAudience(audience, workspace, audiences);
  const excluded = audience.exclude.map((name) => ({ name, sql: audiences.named(name) }));
  const columns: string[] = [];
  const column = (sql: string): string => {
    const name = `c${columns.length}`;
    columns.push(`${sql} AS ${name}`);
    return name;
  };
  const asked = ask(root, values, column);
  const excludes = excluded.map(({ name, sql }) => ({ name, column: column(sql) }));
  const expressions = audiences.expressions();
  const sql = `${expressions.length === 0 ? '' : `WITH ${expressions.join(', ')}\n`}SELECT ${columns.join(',\n  ')}
FROM ${audiences.from()}
WHERE ${audiences.customerId} = ${quoteText(customerId)}`;
  return {
    query: { sql, tables: audiences.tables() },
    read: (row) =>
      row === undefined
        ? null
        : {
            clause: answered(asked, row),
            excludedBy: excludes.filter((one) => row[one.column] === true).map(({ name }) => name),
          },
  };
}

function ofAudience(audience: Audience, workspace: Workspace, audiences: Audiences): Open {
  const sql = audiences.condition(audience);
  if (audience.where === undefined) return { text: 'sql: hand-written', sql, clauses: [] };
  const clauses = ofRule(audience.where, audiences.scope(audience), workspace, audiences);
  // The rule as a whole is known always: who does not meet it for want of a value is not in.
  return { text: `audience: ${audience.name}`, sql, clauses: [clauses] };
}

function ofRule(rule: Rule, scope: Required<RuleScope>, workspace: Workspace, audiences: Audiences): Open {
  const sql = ruleSql(rule, scope);
  const under = (rules: readonly Rule[]): readonly Open[] => rules.map((one) => ofRule(one, scope, workspace, audiences));
  switch (rule.kind) {
    case 'all':
    case 'any':
      return { text: rule.kind, sql, clauses: under(rule.rules) };
    case 'not':
      return { text: 'not', sql, clauses: under([rule.rule]) };
    case 'test':
      return {
        text: conditionText(rule),
        sql,
        value: { sql: canonicalText(`c.${quoteName(rule.column.name)}`, rule.column), type: rule.column.type },
        clauses: [],
      };
    case 'event':
      return {
        text: conditionText(rule),
        sql,
        value: { sql: `CAST(${scope.event(rule)} AS varchar)`, type: 'number' },
        clauses: [],
      };
    case 'audience': {
      const other = Object.hasOwn(workspace.audiences, rule.name) ? workspace.audiences[rule.name] : undefined;
      return other === undefined ? { text: conditionText(rule), sql, clauses: [] } : ofAudience(other, workspace, audiences);
    }
  }
}

interface Asked {
  readonly text: string;
  readonly is: string;
  readonly value?: { readonly name: string; readonly type: Column['type'] };
  readonly clauses: readonly Asked[];
}

const ask = ({ text, sql, value, clauses }: Open, values: boolean, column: (sql: string) => string): Asked => ({
  text,
  is: column(sql),
  ...(values && value !== undefined && { value: { name: column(value.sql), type: value.type } }),
  clauses: clauses.map((one) => ask(one, values, column)),
});

const answered = ({ text, is, value, clauses }: Asked, row: Row): Clause => ({
  text,
  is: row[is] === true ? 'met' : row[is] === false ? 'not met' : 'unknown',
  ...(value !== undefined && { value: valueOf(textOf(row[value.name]), value) }),
  clauses: clauses.map((one) => answered(one, row)),
});

const textOf = (cell: Cell | undefined): string | null => (cell === null || cell === undefined ? null : String(cell as string));
