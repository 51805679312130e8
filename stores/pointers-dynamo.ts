import { PointerDamaged } from '../core/pointer-damaged.ts';
import { type Pointer, PointerConflict, type Pointers } from '../core/ports.ts';
import { ConditionFailed, type Item, type Key, n, numberOf, s, type Table, textOf } from './dynamo-table.ts';
import { leaseKey } from './leases-dynamo.ts';
import { decodePointer, encodePointer, generationIn, pointerChecksum, sameFrame } from './pointer-record.ts';

const partition = (sync: string): string => `pointer#${sync}`;
const itemOf = ({ pk, sk }: Key, sync: string, pointer: Pointer, body: string): Item => ({
  pk: s(pk),
  sk: s(sk),
  version: n(pointer.version),
  fence: n(pointer.fence),
  body: s(body),
  checksum: s(pointerChecksum(sync, pointer.version, body)),
});
/** Sorts after every version. */
const headKey = (sync: string): Key => ({ pk: partition(sync), sk: '~current' });
/** The names of all syncs that ever had a pointer. */
const SYNCS = 'pointer-syncs';
const versionKey = (sync: string, version: number): Key => ({ pk: partition(sync), sk: String(version).padStart(12, '0') });

/**
 * Pointers in DynamoDB: an item a version, never changed, and one that is current. A move is one transaction over both and the
 * sync's lease, so that a late worker is refused by the table itself. `get` throws `PointerDamaged` when the item is not as it was
 * written; `history` leaves such items out.
 *
 * @param root where the store's files lie, with a slash at its end: `s3://bucket/prefix/`
 */
export function dynamoPointers(table: Table, root: string): Pointers {
  const isWhole = (sync: string, item: Item | undefined): item is Item =>
    item !== undefined && textOf(item, 'checksum') === pointerChecksum(sync, numberOf(item, 'version'), textOf(item, 'body'));

  return {
    async get(sync) {
      const head = await table.get(headKey(sync));
      if (head === undefined) return null;
      if (!isWhole(sync, head)) throw new PointerDamaged(sync, generationIn(textOf(head, 'body')), numberOf(head, 'version'));
      return decodePointer(textOf(head, 'body'), root);
    },
    async move(sync, expected, next) {
      if (next.version !== expected + 1) {
        throw new RangeError(`A pointer moves from version ${expected} to ${expected + 1}, not to ${next.version}.`);
      }
      const body = encodePointer(next, root);
      const itemAt = (key: Key): Item => itemOf(key, sync, next, body);
      // The fence of an altered item proves nothing, and must not bar the way back.
      const head = await table.get(headKey(sync));
      const trusted = head === undefined || isWhole(sync, head);
      const fenced = trusted ? ' AND #fence <= :fence' : '';
      const condition = expected === 0 ? 'attribute_not_exists(pk)' : `#version = :expected${fenced}`;
      try {
        await table.transact((TableName) => [
          {
            Put: {
              TableName,
              Item: itemAt(headKey(sync)),
              ConditionExpression: condition,
              ...(expected > 0 && {
                ExpressionAttributeNames: { '#version': 'version', ...(trusted && { '#fence': 'fence' }) },
                ExpressionAttributeValues: { ':expected': n(expected), ...(trusted && { ':fence': n(next.fence) }) },
              }),
            },
          },
          {
            Put: {
              TableName,
              Item: itemAt(versionKey(sync, next.version)),
              ConditionExpression: 'attribute_not_exists(pk)',
            },
          },
          { Put: { TableName, Item: { pk: s(SYNCS), sk: s(sync) } } },
          {
            ConditionCheck: {
              TableName,
              Key: { pk: s(leaseKey(sync).pk), sk: s(leaseKey(sync).sk) },
              ConditionExpression: 'attribute_not_exists(pk) OR #fence <= :fence',
              ExpressionAttributeNames: { '#fence': 'fence' },
              ExpressionAttributeValues: { ':fence': n(next.fence) },
            },
          },
        ]);
      } catch (error) {
        if (!(error instanceof ConditionFailed)) throw error;
        throw await conflict(sync, expected, next, error);
      }
    },
    async history(sync) {
      const found: Pointer[] = [];
      for await (const item of table.query(partition(sync), true)) {
        if (textOf(item, 'sk') !== headKey(sync).sk && isWhole(sync, item)) found.push(decodePointer(textOf(item, 'body'), root));
      }
      return found;
    },
    async syncs() {
      const found: string[] = [];
      for await (const item of table.query(SYNCS, false)) found.push(textOf(item, 'sk'));
      return found;
    },
    async forget(sync, versions) {
      // Versions only grow: one that is not current now never will be.
      const version = numberOf(await table.get(headKey(sync)), 'version');
      if (versions.includes(version)) throw new RangeError(`Version ${version} of ${sync} is the current one, and is kept.`);
      for (const one of versions) await table.delete(versionKey(sync, one));
    },
    async rewrite(sync, next) {
      const kept = await table.get(versionKey(sync, next.version));
      const gone = (): PointerConflict =>
        new PointerConflict(`The ledger of ${sync} has no sound version ${next.version}. Nothing was written.`);
      if (!isWhole(sync, kept)) throw gone();
      if (!sameFrame(decodePointer(textOf(kept, 'body'), root), next))
        throw new RangeError(`Version ${next.version} of ${sync} may only be rewritten with other files.`);
      const body = encodePointer(next, root);
      const head = await table.get(headKey(sync));
      const places = numberOf(head, 'version') === next.version ? [versionKey, headKey] : [versionKey];
      try {
        await table.transact((TableName) =>
          places.map((keyOf) => ({
            Put: {
              TableName,
              Item: itemOf(keyOf(sync, next.version), sync, next, body),
              ConditionExpression: '#version = :version AND #checksum = :checksum',
              ExpressionAttributeNames: { '#version': 'version', '#checksum': 'checksum' },
              ExpressionAttributeValues: { ':version': n(next.version), ':checksum': s(textOf(kept, 'checksum')) },
            },
          })),
        );
      } catch (error) {
        throw error instanceof ConditionFailed ? gone() : error;
      }
    },
  };

  async function conflict(sync: string, expected: number, next: Pointer, cause: unknown): Promise<PointerConflict> {
    const head = await table.get(headKey(sync));
    const version = numberOf(head, 'version');
    if (version !== expected) {
      return Object.assign(
        new PointerConflict(
          `The ledger of ${sync} is at version ${version}, not ${expected}: another run has committed. Nothing was written.`,
        ),
        { cause },
      );
    }
    const fence = Math.max(numberOf(head, 'fence'), numberOf(await table.get(leaseKey(sync)), 'fence'));
    return Object.assign(
      new PointerConflict(
        `Somebody holds the lease of ${sync} under fence ${fence}; this run had ${next.fence} and comes too late. Nothing was written.`,
      ),
      { cause },
    );
  }
}
