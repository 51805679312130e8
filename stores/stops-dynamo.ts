import type { TransactWriteItem } from '@aws-sdk/client-dynamodb';
import type { StopEntry, StopList } from '../core/ports.ts';
import { StoreUnavailable } from '../core/store-errors.ts';
import { ConditionFailed, type Item, type Key, n, numberOf, s, type Table, textOf } from './dynamo-table.ts';

/** Entries by the number of their last change; the reader asks for what is behind the number it knows. */
const CHANGES = 'stop-change';
const changeKey = (seq: number): Key => ({ pk: CHANGES, sk: String(seq).padStart(16, '0') });
/** What is known of a member and purpose. `purpose` is `all` of a null one, and begins with `=` otherwise. */
const entryKey = ({ member, purpose }: Pick<StopEntry, 'member' | 'purpose'>): Key => ({
  pk: `stop#${member}`,
  sk: purpose === null ? 'all' : `=${purpose}`,
});
const COUNTER: Key = { pk: 'stop-counter', sk: 'counter' };
/** A transaction holds 100 items: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html, read 2026-11-25. */
const ENTRIES_AT_ONCE = 30;
const TRIES = 40;

/**
 * The stop list in DynamoDB. The transaction that numbers a change also makes it visible, and the counter orders all of them: no reader
 * passes a number that comes later. Transactions of two writers meet at the counter; withdrawals are few.
 */
export function dynamoStopList(table: Table): StopList {
  /** Decides over what is known of the entries, in one transaction, again when somebody else changed something meanwhile. */
  const change = async (
    entries: readonly Pick<StopEntry, 'member' | 'purpose'>[],
    decide: (i: number, known: Item | undefined) => Pick<StopEntry, 'why' | 'at'> | 'none' | 'keep',
  ): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      const counter = numberOf(await table.get(COUNTER), 'seq');
      const known = await Promise.all(entries.map((entry) => table.get(entryKey(entry))));
      const parts: ((TableName: string) => TransactWriteItem)[] = [];
      let seq = counter;
      for (const [i, entry] of entries.entries()) {
        const before = known[i];
        const after = decide(i, before);
        if (after === 'keep') continue;
        const key = itemKey(entryKey(entry));
        const unchanged =
          before === undefined
            ? { ConditionExpression: 'attribute_not_exists(pk)' }
            : { ConditionExpression: 'seq = :seq', ExpressionAttributeValues: { ':seq': n(numberOf(before, 'seq')) } };
        if (before !== undefined)
          parts.push((TableName) => ({ Delete: { TableName, Key: itemKey(changeKey(numberOf(before, 'seq'))) } }));
        if (after === 'none') {
          parts.push((TableName) => ({ Delete: { TableName, Key: key, ...unchanged } }));
          continue;
        }
        seq += 1;
        const item: Item = { member: s(entry.member), why: s(after.why), at: n(after.at), seq: n(seq) };
        if (entry.purpose !== null) item['purpose'] = s(entry.purpose);
        const numbered = itemKey(changeKey(seq));
        parts.push((TableName) => ({ Put: { TableName, Item: { ...key, ...item }, ...unchanged } }));
        parts.push((TableName) => ({ Put: { TableName, Item: { ...numbered, ...item } } }));
      }
      if (parts.length === 0) return;
      try {
        await table.transact((TableName) => [
          {
            Put: {
              TableName,
              Item: { ...itemKey(COUNTER), seq: n(seq) },
              ConditionExpression: 'attribute_not_exists(pk) OR seq = :seq',
              ExpressionAttributeValues: { ':seq': n(counter) },
            },
          },
          ...parts.map((part) => part(TableName)),
        ]);
        return;
      } catch (error) {
        if (!(error instanceof ConditionFailed)) throw error;
        if (attempt === TRIES) throw new StoreUnavailable('The stop list', `${TRIES} writes met another`, { cause: error });
        await table.pause(Math.min(attempt, 6));
      }
    }
  };

  return {
    async add(entries) {
      const merged = new Map<string, StopEntry>();
      for (const entry of entries) {
        const { pk, sk } = entryKey(entry);
        const other = merged.get(pk + sk);
        merged.set(pk + sk, other === undefined ? entry : { ...entry, ...stricter(entry, other) });
      }
      const all = [...merged.values()];
      for (let i = 0; i < all.length; i += ENTRIES_AT_ONCE) {
        const some = all.slice(i, i + ENTRIES_AT_ONCE);
        await change(some, (at, known) => {
          const entry = some[at] as StopEntry;
          const wanted = { why: entry.why, at: Math.trunc(entry.at) };
          if (known === undefined) return wanted;
          const held = heldIn(known);
          const next = stricter(wanted, held);
          return next.why === held.why && next.at === held.at ? 'keep' : next;
        });
      }
    },
    async since(cursor) {
      const entries: StopEntry[] = [];
      let last = Number(cursor ?? 0);
      for await (const item of table.query(CHANGES, false, changeKey(last).sk)) {
        entries.push({ member: textOf(item, 'member'), purpose: item['purpose']?.S ?? null, ...heldIn(item) });
        last = numberOf(item, 'seq');
      }
      return { entries, cursor: String(last) };
    },
    async lift(entries) {
      for (let i = 0; i < entries.length; i += ENTRIES_AT_ONCE) {
        await change(entries.slice(i, i + ENTRIES_AT_ONCE), (_, known) =>
          known === undefined || textOf(known, 'why') === 'erased' ? 'keep' : 'none',
        );
      }
    },
  };
}

const itemKey = ({ pk, sk }: Key): Item => ({ pk: s(pk), sk: s(sk) });

const heldIn = (item: Item): Pick<StopEntry, 'why' | 'at'> => ({
  why: textOf(item, 'why') === 'erased' ? 'erased' : 'no-consent',
  at: numberOf(item, 'at'),
});

/** Of two entries for the same member and purpose the earlier `at` holds, and `erased` over `no-consent`. */
const stricter = (one: Pick<StopEntry, 'why' | 'at'>, other: Pick<StopEntry, 'why' | 'at'>): Pick<StopEntry, 'why' | 'at'> => ({
  why: one.why === 'erased' || other.why === 'erased' ? 'erased' : 'no-consent',
  at: Math.min(one.at, other.at),
});
