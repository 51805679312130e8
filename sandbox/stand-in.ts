import type { z } from 'zod';
import type { BudgetWindow } from '../core/model.ts';
import type { Fault } from './faults.ts';

/** What a stand-in answers. `json` is sent as JSON, `text` as it is with the content type of `headers`. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly text?: string;
}

/** A request on its way through a stand-in. */
export interface Call<State> {
  readonly state: State;
  /** Parts of the route in braces, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Epoch milliseconds. */
  readonly now: number;
  /** The address of this stand-in, for answers that hold links. */
  readonly endpoint: string;
  /** The body as JSON of this shape; anything else, an unknown field too, is answered with the platform's own refusal. */
  parse<T>(schema: z.ZodType<T>): T;
  /** Whether a fault that is the platform's to act on strikes this request (`terms`, `list-deleted`, `quota`). */
  fault(kind: Fault['kind']): boolean;
  /** Whether a `refuse-rows` fault strikes the row at this index (from 0). */
  refusesRow(index: number): boolean;
  /** For the request log: how many rows the request carried. */
  rows(count: number): void;
}

export type Handler<State> = (call: Call<State>) => Reply;

/**
 * A platform's HTTP API as it behaves, held in memory. `State` is made of plain values, Maps and Sets (it is written to a file as it is).
 * Strictness is the point: what the platform refuses, its stand-in refuses in the platform's own words.
 */
export interface StandInOf<State> {
  readonly name: string;
  readonly title: string;
  /** The platform's documented rate, enforced; and the largest body. */
  readonly windows: readonly BudgetWindow[];
  readonly maxBytes: number;
  /** A secret the stand-in accepts, so that a user can copy it. Invented, never a real one. */
  readonly secret: Readonly<Record<string, string>>;
  create(): State;
  /** `POST /v1/lists/{list}` -> handler. The first that fits is taken. */
  readonly routes: Readonly<Record<string, Handler<State>>>;
  /** The platform's refusal of bad credentials, or undefined when they are right. */
  authorise(call: Call<State>): Reply | undefined;
  readonly replies: {
    unauthorised(): Reply;
    forbidden(): Reply;
    throttled(afterMs: number, now: number): Reply;
    failed(status: number): Reply;
    tooLarge(): Reply;
    notFound(): Reply;
    /** `path` and `message` say where and why; values of the body are never repeated. */
    invalid(issues: readonly { readonly path: string; readonly message: string }[]): Reply;
  };
  /** Headers on every answer (how much of the budget is used). */
  headers?(
    used: { readonly limit: number; readonly remaining: number; readonly seconds: number },
    now: number,
  ): Readonly<Record<string, string>>;
  /** List name -> what it holds: external ids where membership is by member, `namespace:value` where it is by identifier. */
  held(state: State): ReadonlyMap<string, ReadonlySet<string>>;
}

/** A stand-in among others, its state unknown to them. */
export type StandIn = StandInOf<unknown>;

export const standIn = <State>(definition: StandInOf<State>): StandIn => definition as unknown as StandIn;

/** Ends a call with an answer from anywhere below a handler. */
export class Refusal extends Error {
  readonly reply: Reply;
  constructor(reply: Reply) {
    super(`refused with HTTP ${reply.status}`);
    this.name = 'Refusal';
    this.reply = reply;
  }
}
