import {
  type AttributeValue,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  type TransactWriteItem,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { Clock } from '../core/ports.ts';
import { toldByAws } from './aws-errors.ts';

export type Item = Record<string, AttributeValue>;
/** Partition and sort key: what it is and whose (`lease#vips/meta-eu`), and which of those. */
export interface Key {
  readonly pk: string;
  readonly sk: string;
}

export const s = (text: string): AttributeValue => ({ S: text });
export const n = (number: number): AttributeValue => ({ N: String(number) });
export const textOf = (item: Item | undefined, name: string): string => item?.[name]?.S ?? '';
export const numberOf = (item: Item | undefined, name: string): number => Number(item?.[name]?.N ?? 0);

/** A condition did not hold; nothing was written. `item` is what stands there, where DynamoDB says so. */
export class ConditionFailed extends Error {
  readonly item: Item | undefined;
  constructor(item: Item | undefined, options: { cause?: unknown } = {}) {
    super('The condition of a write does not hold.', options);
    this.name = 'ConditionFailed';
    this.item = item;
  }
}

export interface Update {
  readonly set: string;
  readonly where?: string;
  readonly values: Readonly<Record<string, AttributeValue>>;
}

/** How often a transaction that met another one is tried. Each try waits longer, with jitter. */
const TRIES = 12;

/**
 * The one table of a deployment: keys `pk` and `sk`, all reads consistent, all changes conditional.
 * Throws `ConditionFailed`, `StoreUnavailable`, `StoreRefused`.
 */
export class Table {
  readonly #client: DynamoDBClient;
  readonly #clock: Clock;
  readonly #name: string;

  constructor(client: DynamoDBClient, name: string, clock: Clock) {
    this.#client = client;
    this.#name = name;
    this.#clock = clock;
  }

  async get({ pk, sk }: Key): Promise<Item | undefined> {
    const answer = await this.#sent(() =>
      this.#client.send(new GetItemCommand({ TableName: this.#name, Key: { pk: s(pk), sk: s(sk) }, ConsistentRead: true })),
    );
    return answer.Item;
  }

  /** Items of a partition, by sort key; `newestFirst` from its end; only those behind `after`, where given. */
  async *query(pk: string, newestFirst: boolean, after?: string): AsyncGenerator<Item> {
    for (let from: Item | undefined; ; ) {
      const start = from;
      const page = await this.#sent(() =>
        this.#client.send(
          new QueryCommand({
            TableName: this.#name,
            KeyConditionExpression: after === undefined ? 'pk = :pk' : 'pk = :pk AND sk > :after',
            ExpressionAttributeValues: { ':pk': s(pk), ...(after !== undefined && { ':after': s(after) }) },
            ConsistentRead: true,
            ScanIndexForward: !newestFirst,
            ...(start && { ExclusiveStartKey: start }),
          }),
        ),
      );
      yield* page.Items ?? [];
      from = page.LastEvaluatedKey;
      if (from === undefined) return;
    }
  }

  async put(key: Key, item: Item, where?: { readonly condition: string; readonly values?: Item }): Promise<void> {
    await this.#sent(() =>
      this.#client.send(
        new PutItemCommand({
          TableName: this.#name,
          Item: { pk: s(key.pk), sk: s(key.sk), ...item },
          ...(where && { ConditionExpression: where.condition, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' }),
          ...(where?.values && { ExpressionAttributeValues: where.values }),
        }),
      ),
    );
  }

  /** Names of attributes are written as `#name`, because many plain words are reserved. Answers with the item as it is then. */
  async update({ pk, sk }: Key, { set, where, values }: Update): Promise<Item> {
    const names = Object.fromEntries([...`${set} ${where ?? ''}`.matchAll(/#(\w+)/g)].map(([name, plain]) => [name, plain]));
    const answer = await this.#sent(() =>
      this.#client.send(
        new UpdateItemCommand({
          TableName: this.#name,
          Key: { pk: s(pk), sk: s(sk) },
          UpdateExpression: `SET ${set}`,
          ExpressionAttributeNames: names as Record<string, string>,
          ExpressionAttributeValues: { ...values },
          ReturnValues: 'ALL_NEW',
          ...(where !== undefined && { ConditionExpression: where, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' }),
        }),
      ),
    );
    return answer.Attributes ?? {};
  }

  async delete({ pk, sk }: Key): Promise<void> {
    await this.#sent(() => this.#client.send(new DeleteItemCommand({ TableName: this.#name, Key: { pk: s(pk), sk: s(sk) } })));
  }

  /**
   * All or nothing; on a condition that fails, `ConditionFailed`. Parts are given without their table. One that meets another
   * transaction on the same items is tried again: the client does not do that by itself.
   */
  async transact(parts: (table: string) => TransactWriteItem[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#client.send(new TransactWriteItemsCommand({ TransactItems: parts(this.#name) }));
        return;
      } catch (error) {
        if (!(error instanceof TransactionCanceledException)) throw toldByAws(error, this.#where);
        const reasons = error.CancellationReasons ?? [];
        const failed = reasons.find((one) => one.Code === 'ConditionalCheckFailed');
        if (failed !== undefined) throw new ConditionFailed(failed.Item, { cause: error });
        const again = reasons.some((one) => ['TransactionConflict', 'ThrottlingError'].includes(one.Code ?? ''));
        if (!again || attempt === TRIES)
          throw toldByAws(again ? named(error, 'TransactionConflictException') : error, this.#where);
        await this.pause(attempt);
      }
    }
  }

  /** Between tries of a write that met another one: up to 10 ms, then 20, ... with full jitter. */
  async pause(attempt: number): Promise<void> {
    await this.#clock.sleep(this.#clock.random() * Math.min(1_000, 10 * 2 ** (attempt - 1)));
  }

  get #where(): string {
    return `The table ${this.#name}`;
  }

  async #sent<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) throw new ConditionFailed(error.Item, { cause: error });
      throw toldByAws(error, this.#where);
    }
  }
}

const named = (error: Error, name: string): Error => Object.assign(new Error(error.message, { cause: error }), { name });
