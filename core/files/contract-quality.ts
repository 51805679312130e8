import type { Column, Duration, QualityRule, Role, Table } from '../model.ts';
import { didYouMean } from '../problems.ts';
import type { ContractFile, QualityCheck, SchemaObject } from './contract-schema.ts';
import { nodeAt } from './source.ts';
import type { Source } from './source.ts';

type Columns = ReadonlyMap<string, Column>;

/** Less than the bound, for a rule that allows up to and with it. Percentages are compared as floating point. */
const JUST_BELOW = 1e-9;

/** Quality rules of the table and its columns that the gate can run; one it cannot is a warning, unless another tool is named for it. */
export function qualityOf(
  source: Source,
  object: SchemaObject,
  at: readonly PropertyKey[],
  columns: Columns,
): readonly QualityRule[] {
  const rules: QualityRule[] = [];
  const take = (check: QualityCheck, column: Column | undefined, place: readonly PropertyKey[]) => {
    // Text is for people; an engine or a scheduler means that something else runs it.
    if (check.type === 'text' || check.engine !== undefined || check.scheduler !== undefined) return;
    const rule = ruleOf(check, column);
    if (rule) rules.push(rule);
    else {
      source.report(nodeAt(source.root, check.metric === undefined ? place : [...place, 'metric']), {
        rule: 'quality-not-run',
        severity: 'warning',
        message: 'Sluice cannot run this quality rule.',
        hint: 'It runs rowCount with bounds, nullValues and missingValues as none or a percentage, and duplicateValues as none.',
      });
    }
  };
  for (const [index, check] of (object.quality ?? []).entries()) take(check, undefined, [...at, 'quality', index]);
  for (const [position, property] of (object.properties ?? []).entries()) {
    for (const [index, check] of (property.quality ?? []).entries()) {
      take(check, columns.get(property.name), [...at, 'properties', position, 'quality', index]);
    }
  }
  return rules;
}

function ruleOf(check: QualityCheck, column: Column | undefined): QualityRule | undefined {
  switch (check.metric) {
    case 'rowCount':
      return column || check.unit === 'percent' ? undefined : rowCount(check);
    case 'missingValues':
      // Only NULL is missing unless the arguments list other values.
      return column && check.arguments === undefined ? nullValues(check, column) : undefined;
    case 'nullValues':
      return column && nullValues(check, column);
    case 'duplicateValues':
      return column && check.arguments === undefined && none(check) ? { kind: 'unique', column: column.name } : undefined;
    default:
      return undefined;
  }
}

const none = (check: QualityCheck): boolean =>
  check.mustBe === 0 || check.mustBeLessOrEqualTo === 0 || (check.unit !== 'percent' && check.mustBeLessThan === 1);

function rowCount(check: QualityCheck): QualityRule | undefined {
  const { mustBe, mustNotBe, mustBeGreaterThan, mustBeGreaterOrEqualTo, mustBeLessThan, mustBeLessOrEqualTo, mustBeBetween } =
    check;
  if (typeof mustBe === 'number') return { kind: 'row-count', min: mustBe, max: mustBe };
  if (mustNotBe === 0) return { kind: 'row-count', min: 1 };
  if (mustBeBetween) return { kind: 'row-count', min: mustBeBetween[0], max: mustBeBetween[1] };
  if (mustBeGreaterThan !== undefined) return { kind: 'row-count', min: Math.floor(mustBeGreaterThan) + 1 };
  if (mustBeGreaterOrEqualTo !== undefined) return { kind: 'row-count', min: Math.ceil(mustBeGreaterOrEqualTo) };
  if (mustBeLessThan !== undefined) return { kind: 'row-count', max: Math.ceil(mustBeLessThan) - 1 };
  if (mustBeLessOrEqualTo !== undefined) return { kind: 'row-count', max: Math.floor(mustBeLessOrEqualTo) };
  return undefined;
}

function nullValues(check: QualityCheck, column: Column): QualityRule | undefined {
  if (none(check)) return { kind: 'null-values', column: column.name, maxPercent: 0 };
  if (check.unit !== 'percent') return undefined;
  if (check.mustBeLessOrEqualTo !== undefined)
    return { kind: 'null-values', column: column.name, maxPercent: check.mustBeLessOrEqualTo };
  if (check.mustBeLessThan !== undefined && check.mustBeLessThan > 0) {
    return { kind: 'null-values', column: column.name, maxPercent: check.mustBeLessThan - JUST_BELOW };
  }
  return undefined;
}

/** ODCS units of an SLA; without a unit the value is in days. */
const UNITS: Readonly<Record<string, Duration['unit']>> = {
  s: 'second',
  sec: 'second',
  second: 'second',
  seconds: 'second',
  min: 'minute',
  minute: 'minute',
  minutes: 'minute',
  h: 'hour',
  hr: 'hour',
  hour: 'hour',
  hours: 'hour',
  d: 'day',
  day: 'day',
  days: 'day',
  w: 'week',
  week: 'week',
  weeks: 'week',
  month: 'month',
  months: 'month',
  y: 'year',
  yr: 'year',
  year: 'year',
  years: 'year',
};

/** The field whose newest value says how fresh a table is, when the SLA names no column. */
const FRESH_FIELD: Partial<Record<Role, string>> = {
  identifiers: 'last_seen',
  consents: 'effective_from',
  events: 'occurred_at',
  'identity-changes': 'changed_at',
  erasures: 'requested_at',
};

/** The first `freshness` (else `latency`) of slaProperties that is about this table. */
export function freshnessOf(
  source: Source,
  contract: ContractFile,
  object: SchemaObject,
  role: Role,
  columns: Columns,
): Table['freshness'] {
  const all = [...(contract.slaProperties ?? []).entries()];
  const order = ['freshness', 'latency'];
  const wanted = all.filter(([, sla]) => order.includes(sla.property.toLowerCase()));
  wanted.sort((a, b) => order.indexOf(a[1].property.toLowerCase()) - order.indexOf(b[1].property.toLowerCase()));
  for (const [index, sla] of wanted) {
    const element = sla.element ?? contract.slaDefaultElement;
    const [table, name] = splitElement(element, columns);
    if (table !== undefined && table !== object.name && table !== object.physicalName) continue;
    const usual = FRESH_FIELD[role];
    const fallback =
      usual === undefined ? undefined : [...columns.values()].find((column) => column.field === usual || column.name === usual);
    const column = name === undefined ? fallback : columns.get(name);
    const node = nodeAt(source.root, ['slaProperties', index, sla.element === undefined ? 'property' : 'element']);
    if (!column || (column.type !== 'timestamp' && column.type !== 'date')) {
      source.report(node, {
        rule: 'freshness-column',
        message:
          name === undefined
            ? `The ${sla.property} of ${object.name} needs a column, as "element: ${object.name}.<column>".`
            : column
              ? `"${name}" is of type ${column.type}; ${sla.property} needs a timestamp or a date.`
              : `"${name}" is not a column of ${object.name}.`,
        hint: name !== undefined && !column ? didYouMean(name, columns.keys()) : undefined,
      });
      return undefined;
    }
    const maxAge = ageOf(sla.value, sla.unit);
    if (!maxAge) {
      source.report(nodeAt(source.root, ['slaProperties', index, 'value']), {
        rule: 'invalid-value',
        message: `The ${sla.property} must be a whole number of a unit, such as "value: 2" and "unit: d".`,
      });
      return undefined;
    }
    return { column: column.name, maxAge };
  }
  return undefined;
}

/** `table.column`, `table`, or a column alone. */
function splitElement(
  element: string | undefined,
  columns: Columns,
): readonly [table: string | undefined, column: string | undefined] {
  if (element === undefined) return [undefined, undefined];
  const dot = element.lastIndexOf('.');
  if (dot >= 0) return [element.slice(0, dot), element.slice(dot + 1)];
  return columns.has(element) ? [undefined, element] : [element, undefined];
}

function ageOf(value: unknown, unit: string | undefined): Duration | undefined {
  const amount = typeof value === 'string' ? Number(value) : value;
  const known = UNITS[(unit ?? 'd').toLowerCase()];
  return typeof amount === 'number' && Number.isInteger(amount) && amount > 0 && known !== undefined
    ? { amount, unit: known }
    : undefined;
}
