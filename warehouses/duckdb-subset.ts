import type { Table } from '../core/model.ts';
import { nearest } from '../core/problems.ts';
import { piecesOf } from '../core/sql/hand-written.ts';

/**
 * Functions that hand-written SQL may use, as a user writes them: they mean the same to Trino and to DuckDB with the macro pack
 * (docs/sql.md lists them).
 */
export const FUNCTIONS: readonly string[] = `
  abs ceil ceiling floor round mod power sqrt sign greatest least coalesce nullif
  lower upper length substr substring replace strpos position split_part reverse starts_with concat lpad rpad chr translate regexp_like regexp_replace
  count sum avg min max min_by max_by bool_and bool_or array_agg stddev stddev_pop stddev_samp var_pop var_samp variance
  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
  date_diff date_add date_trunc year month day hour minute second quarter week day_of_week day_of_year extract to_unixtime now
  cardinality element_at contains array_join array_distinct array_except array_union array_remove unnest
  sha256 to_hex to_utf8 from_base normalize json_extract_scalar
`
  .trim()
  .split(/\s+/);

/** How DuckDB's syntax tree names operators, special forms and what `interval '30' day` and `extract` become inside it. */
const INNER: ReadonlySet<string> = new Set(
  `+ - * / % || = <> < <= > >= ~~ !~~ like_escape not_like_escape count_star date_part get_current_timestamp current_timestamp current_date
  current_localtimestamp today to_days to_hours to_minutes to_seconds to_months to_years to_weeks trunc list_value row`.split(
    /\s+/,
  ),
);

const ALLOWED: ReadonlySet<string> = new Set([...FUNCTIONS, ...INNER]);

/** Something that only one of the engines understands, or that reaches out of the contracts. */
export interface Stranger {
  readonly message: string;
  /** In UTF-8 bytes of the text. */
  readonly position?: number;
  readonly suggestion?: string;
}

type Node = Readonly<Record<string, unknown>>;

/** The first thing in a syntax tree of `json_serialize_sql` that is not of the subset, and why. */
export function firstStranger(tree: unknown, sql: string, tables: readonly Table[]): Stranger | undefined {
  return inText(sql) ?? inTree(tree, tables, new Set());
}

/** Spellings that the tree does not keep: it is the same for `x::int` and `CAST(x AS int)`. */
function inText(sql: string): Stranger | undefined {
  let offset = 0;
  for (const { kind, text } of piecesOf(sql)) {
    if (kind === 'code') {
      const cast = text.indexOf('::');
      if (cast !== -1) return { message: 'Write CAST(x AS type): "::" is DuckDB\'s alone.', position: bytes(sql, offset + cast) };
      const list = /(?<![\w\]")])\[/.exec(text.replace(/\barray\s*\[/gi, (match) => `${match.slice(0, -1).replace(/./g, 'a')}a`));
      if (list !== null)
        return { message: "Write ARRAY[...]: brackets alone are DuckDB's.", position: bytes(sql, offset + list.index) };
    }
    offset += text.length;
  }
  return undefined;
}

const bytes = (sql: string, characters: number): number => new TextEncoder().encode(sql.slice(0, characters)).length;

function inTree(node: unknown, tables: readonly Table[], ctes: ReadonlySet<string>): Stranger | undefined {
  if (Array.isArray(node)) return first(node.map((one) => () => inTree(one, tables, ctes)));
  if (typeof node !== 'object' || node === null) return undefined;
  const record = node as Node;
  const own = new Set([...ctes, ...cteNames(record)]);
  return ofNode(record, tables, own) ?? first(Object.values(record).map((value) => () => inTree(value, tables, own)));
}

function first(looks: readonly (() => Stranger | undefined)[]): Stranger | undefined {
  for (const look of looks) {
    const found = look();
    if (found !== undefined) return found;
  }
  return undefined;
}

function ofNode(node: Node, tables: readonly Table[], ctes: ReadonlySet<string>): Stranger | undefined {
  const at = placeOf(node);
  const text = (key: string): string => (typeof node[key] === 'string' ? node[key] : '');
  switch (text('type')) {
    case 'TABLE_FUNCTION': {
      const name = functionOf(node['function']);
      return name === 'unnest'
        ? undefined
        : { message: `The table function ${name} may not be used here: only tables of the contracts are read.`, ...at };
    }
    case 'BASE_TABLE':
      return tableStranger(
        [text('catalog_name'), text('schema_name'), text('table_name')].filter((part) => part !== ''),
        tables,
        ctes,
        at,
      );
    case 'STAR': {
      const changed = ['exclude_list', 'replace_list', 'qualified_exclude_list', 'rename_list'].some(
        (key) => Array.isArray(node[key]) && node[key].length > 0,
      );
      return changed || node['columns'] === true
        ? { message: "A star with EXCLUDE, REPLACE or COLUMNS is DuckDB's alone: name the columns.", ...at }
        : undefined;
    }
    case 'LAMBDA':
      return { message: 'A lambda is not written the same on every engine.', ...at };
    default:
  }
  if (node['qualify'] !== null && node['qualify'] !== undefined)
    return { message: 'QUALIFY is not known to Athena: filter in an outer SELECT.', ...at };
  if (node['sample'] !== null && node['sample'] !== undefined) return { message: 'A sample gives other rows every time.', ...at };
  if (node['aggregate_handling'] === 'FORCE_AGGREGATES')
    return { message: "GROUP BY ALL is DuckDB's alone: name the columns.", ...at };
  if (text('class') !== 'FUNCTION' && text('class') !== 'WINDOW') return undefined;
  const name = text('function_name').toLowerCase();
  if (name === '' || ALLOWED.has(name)) return undefined;
  if (['~~*', '!~~*', 'ilike_escape', 'not_ilike_escape'].includes(name))
    return { message: 'ILIKE is not known to Athena: write lower(x) LIKE ...', ...at };
  const near = nearest(name, FUNCTIONS);
  return {
    message: `The function ${name} may not be used: it is not the same on every engine.`,
    ...at,
    ...(near !== undefined && { suggestion: near }),
  };
}

function tableStranger(
  parts: readonly string[],
  tables: readonly Table[],
  ctes: ReadonlySet<string>,
  at: { readonly position?: number },
): Stranger | undefined {
  const name = parts.join('.');
  const same = (other: string): boolean => other.toLowerCase() === name.toLowerCase();
  const known = tables.map(({ physicalName }) => physicalName);
  if ([...ctes].some(same) || known.some(same) || name === '') return undefined;
  const near = nearest(name, known);
  return { message: `No contract describes a table "${name}".`, ...at, ...(near !== undefined && { suggestion: near }) };
}

const functionOf = (node: unknown): string =>
  typeof node === 'object' && node !== null && 'function_name' in node && typeof node.function_name === 'string'
    ? node.function_name
    : '';

function placeOf(node: Node): { readonly position?: number } {
  const place = node['query_location'];
  // DuckDB writes the largest 64-bit number where it knows no place.
  return typeof place === 'number' && place < 2 ** 40 ? { position: place } : {};
}

function cteNames(node: Node): readonly string[] {
  const map =
    typeof node['cte_map'] === 'object' && node['cte_map'] !== null && 'map' in node['cte_map'] ? node['cte_map'].map : undefined;
  return Array.isArray(map) ? map.map((entry: Node) => String(entry['key'])) : [];
}
