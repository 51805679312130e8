import { gunzipSync, gzipSync } from 'node:zlib';
import type { Documents } from '../core/ports.ts';
import { type Item, type Key, s, type Table, textOf } from './dynamo-table.ts';

const partition = (kind: string): string => `document#${kind}`;
const documentKey = (kind: string, id: string): Key => ({ pk: partition(kind), sk: id });
/** Smaller ones are kept readable for a person in the console. */
const PACKED_FROM = 16 * 1024;
/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (item size), read 2026-11-25, less its names. */
const ITEM_MAX = 390 * 1024;

/** JSON documents in DynamoDB, packed when they are long. The last `put` of a kind and id holds. */
export function dynamoDocuments(table: Table): Documents {
  return {
    async put(kind, id, document) {
      const body = JSON.stringify(document);
      if (body === undefined) throw new TypeError(`A document is JSON, and ${typeof document} is none.`);
      const packed = body.length < PACKED_FROM ? undefined : gzipSync(body);
      if (packed !== undefined && packed.length > ITEM_MAX)
        throw new RangeError(`The document ${kind} ${id} has ${packed.length} bytes; the table holds ${ITEM_MAX}.`);
      await table.put(documentKey(kind, id), packed === undefined ? { body: s(body) } : { packed: { B: packed } });
    },
    async get<T>(kind: string, id: string) {
      const item = await table.get(documentKey(kind, id));
      return item === undefined ? null : documentIn<T>(item);
    },
    async remove(kind, id) {
      await table.delete(documentKey(kind, id));
    },
    async list<T>(kind: string, options: { readonly limit?: number } = {}) {
      const found: { id: string; document: T }[] = [];
      for await (const item of table.query(partition(kind), true)) {
        if (found.length === (options.limit ?? Number.POSITIVE_INFINITY)) break;
        found.push({ id: textOf(item, 'sk'), document: documentIn<T>(item) });
      }
      return found;
    },
  };
}

function documentIn<T>(item: Item): T {
  const packed = item['packed']?.B;
  return JSON.parse(packed === undefined ? textOf(item, 'body') : gunzipSync(packed).toString('utf8')) as T;
}
