import { ENTRY_SEPARATOR, HASHED_SUFFIX, prepareIdentifiers } from '../identifiers.ts';
import type { Namespace } from '../connector.ts';
import type { Row } from '../ports.ts';
import type { RunPorts } from '../run/ports.ts';
import type { Resolved } from '../run/relations.ts';
import { customersOf } from '../sql/audience.ts';
import { identifierColumnsQuery, identifierCountsQuery } from '../sql/explain.ts';
import { identifierColumns } from '../sql/identifiers.ts';

/** What a person has of one namespace, and what of it a destination would get. */
export interface IdentifierUse {
  readonly namespace: string;
  /** In the tables. */
  readonly found: number;
  /** Of those: not let go by a consent about the identifier, or by policies/identity.yaml (not verified, too little trust). */
  readonly notAllowed: number;
  /** Of those: not one of this namespace as the platform wants it. */
  readonly invalid: number;
  /** Of those: the same as another once it is written as the platform wants it, or beyond the number that is sent. */
  readonly surplus: number;
  readonly usable: number;
}

/** How many identifiers the tables hold of one person, asked for once. */
export class IdentifierCounts {
  readonly #ports: RunPorts;
  readonly #ids: readonly string[];
  readonly #rowId: string;
  #counts: Promise<ReadonlyMap<string, number>> | undefined;

  /** `ids`: all of the person; `rowId`: that of their row among the customers. */
  constructor(ports: RunPorts, ids: readonly string[], rowId: string) {
    this.#ports = ports;
    this.#ids = ids;
    this.#rowId = rowId;
  }

  async of(namespace: string): Promise<number> {
    this.#counts ??= this.#count();
    return (await this.#counts).get(namespace) ?? 0;
  }

  async #count(): Promise<ReadonlyMap<string, number>> {
    const { workspace, warehouse } = this.#ports;
    const counts = new Map<string, number>();
    const add = (namespace: string, n: number): void => void counts.set(namespace, (counts.get(namespace) ?? 0) + n);
    const tables = workspace.tables.filter(({ role }) => role === 'identifiers');
    if (tables.length > 0) {
      for (const row of await warehouse.rows(identifierCountsQuery(tables, this.#ids)))
        add(String(row['namespace'] as string), Number(row['n']));
    }
    const customers = customersOf(workspace);
    const columns = identifierColumns(
      customers,
      customers.columns.flatMap(({ namespace }) => namespace ?? []),
    );
    if (columns.length > 0) {
      const names = columns.map(({ name }) => name);
      const [row] = await warehouse.rows(identifierColumnsQuery(customers, names, this.#rowId));
      for (const [i, { namespace }] of columns.entries()) add(namespace, Number(row?.[`n_${i}`] ?? 0));
    }
    return counts;
  }
}

/** What a destination would get of a person's identifiers, namespace by namespace; `row` is their row of the snapshot. */
export async function identifiersFor(
  { accepts, namespaces }: Resolved,
  index: number,
  row: Row | undefined,
  counts: IdentifierCounts,
): Promise<readonly IdentifierUse[]> {
  if (row === undefined) return [];
  const entries = (row[`identifiers_${index}`] ?? []) as readonly string[];
  const country = (row['country'] ?? null) as string | null;
  const sent = prepareIdentifiers(accepts, entries, country);
  // One by one, and beside nothing else: whether each could be sent at all.
  const alone = Object.fromEntries(Object.entries(accepts).map(([name, one]) => [name, strong(one)]));
  const uses: IdentifierUse[] = [];
  for (const namespace of namespaces) {
    const own = entries.filter((entry) => entry.startsWith(`${namespace}${ENTRY_SEPARATOR}`));
    const found = namespace === 'external_id' ? 1 : await counts.of(namespace);
    const name = namespace.endsWith(HASHED_SUFFIX) ? namespace.slice(0, -HASHED_SUFFIX.length) : namespace;
    const valid = own.filter((entry) => prepareIdentifiers(alone, [entry], country).length > 0).length;
    const taken = sent.filter((one) => one.namespace === name).length;
    const usable = Math.min(valid, taken);
    uses.push({
      namespace,
      found: Math.max(found, own.length),
      notAllowed: Math.max(0, found - own.length),
      invalid: own.length - valid,
      surplus: valid - usable,
      usable,
    });
  }
  return uses;
}

/** The namespace as one that identifies by itself. */
const strong = ({ normalise, hash }: Namespace): Namespace => ({ normalise, hash });
