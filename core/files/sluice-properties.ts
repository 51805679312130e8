import type { Node } from 'yaml';
import { STATUSES } from '../consent.ts';
import type { ConsentStatus } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { nodeAt } from './source.ts';
import type { Source } from './source.ts';

/** The customProperties of ODCS that are ours, by where they belong. */
export const TABLE_PROPERTIES = ['sluice.role', 'sluice.statuses', 'sluice.active_versions'];
export const COLUMN_PROPERTIES = ['sluice.field', 'sluice.namespace', 'sluice.purposes', 'sluice.scale'];

export interface Setting {
  readonly value: unknown;
  readonly node: Node;
}

/** The `sluice.*` custom properties of one element, unknown ones refused; others are nobody's business here. */
export function sluiceProperties(
  source: Source,
  element: { readonly customProperties?: readonly { readonly property: string; readonly value?: unknown }[] | undefined },
  at: readonly PropertyKey[],
  known: readonly string[],
  noun: string,
): ReadonlyMap<string, Setting> {
  const found = new Map<string, Setting>();
  for (const [index, { property, value }] of (element.customProperties ?? []).entries()) {
    if (!property.startsWith('sluice.')) continue;
    const place = [...at, 'customProperties', index];
    if (!known.includes(property)) {
      const other = [...TABLE_PROPERTIES, ...COLUMN_PROPERTIES].includes(property);
      const belongs = TABLE_PROPERTIES.includes(property) ? 'a schema object' : 'a property';
      source.report(nodeAt(source.root, [...place, 'property']), {
        rule: 'unknown-key',
        message: `Unknown custom property "${property}" in ${noun}.`,
        hint: other ? `It belongs to ${belongs}.` : didYouMean(property, known),
      });
      continue;
    }
    found.set(property, { value, node: nodeAt(source.root, [...place, 'value']) });
  }
  return found;
}

export function textSetting(source: Source, setting: Setting | undefined, key: string): string | undefined {
  if (!setting) return undefined;
  if (typeof setting.value === 'string' && setting.value !== '') return setting.value;
  source.report(setting.node, { rule: 'wrong-type', message: `"${key}" must be a text.` });
  return undefined;
}

/** A list of texts; one text alone is a list of one. */
export function textsSetting(source: Source, setting: Setting | undefined, key: string): readonly string[] | undefined {
  if (!setting) return undefined;
  const values: unknown[] = Array.isArray(setting.value) ? setting.value : [setting.value];
  if (values.length > 0 && values.every((value): value is string => typeof value === 'string')) return values;
  source.report(setting.node, { rule: 'wrong-type', message: `"${key}" must be a list of texts.`, hint: 'Put each in quotes.' });
  return [];
}

export function scaleSetting(source: Source, setting: Setting | undefined): number | undefined {
  if (!setting) return undefined;
  const { value } = setting;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 18) return value;
  source.report(setting.node, {
    rule: 'invalid-value',
    message: '"sluice.scale" must be a whole number of digits from 0 to 18.',
  });
  return undefined;
}

export function statusesOf(source: Source, setting: Setting | undefined): Readonly<Record<string, ConsentStatus>> | undefined {
  if (!setting) return undefined;
  const { value, node } = setting;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    source.report(node, {
      rule: 'wrong-type',
      message: '"sluice.statuses" must map the words of the source to ours.',
      hint: STATUS_HINT,
    });
    return undefined;
  }
  const statuses: Record<string, ConsentStatus> = Object.create(null) as Record<string, ConsentStatus>;
  for (const [word, status] of Object.entries(value)) {
    const ours = STATUSES.find((known) => known === status);
    if (ours) statuses[word] = ours;
    else {
      source.report(nodeAt(node, [word]), {
        rule: 'invalid-value',
        message: `"${String(status)}" is not a consent status.`,
        hint: didYouMean(String(status), STATUSES) ?? STATUS_HINT,
      });
    }
  }
  return statuses;
}

const STATUS_HINT = `Ours are ${STATUSES.join(', ')}.`;

export function activeVersionsOf(source: Source, setting: Setting | undefined): readonly string[] | undefined {
  if (!setting) return undefined;
  const values: unknown[] = Array.isArray(setting.value) ? setting.value : [setting.value];
  if (values.length > 0 && values.every((value) => typeof value === 'string' || Number.isInteger(value)))
    return values.map(String);
  source.report(setting.node, { rule: 'wrong-type', message: '"sluice.active_versions" must be a list of versions.' });
  return undefined;
}
