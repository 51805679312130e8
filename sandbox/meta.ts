import { createHmac } from 'node:crypto';
import * as z from 'zod';
import { type Call, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * Meta's Marketing API for customer lists. Identifiers uploaded on one row belong to one matched person: a removal by any of them takes
 * the whole row out, which is why a destination must send again whoever still is entitled.
 */
interface State {
  /** Id -> list. Ids are beyond 2^53, as Meta's are. */
  readonly lists: Map<string, List>;
  nextId: bigint;
  /** Session id -> what it has received. */
  readonly sessions: Map<string, { readonly schema: string; readonly batches: Set<number>; received: number; closed: boolean }>;
}

interface List {
  readonly name: string;
  readonly description: string;
  /** Rows with one identifier, which is most of them. */
  readonly single: Set<string>;
  /** Rows with several, by all of them together; and the rows in which an identifier stands. */
  readonly rows: Map<string, readonly string[]>;
  readonly rowsOf: Map<string, Set<string>>;
  /** Rows flagged for Limited Data Use. */
  readonly limited: Set<string>;
}

const TOKEN = 'sandbox-meta-token';
const APP_SECRET = 'sandbox-meta-app-secret';
const ROWS_PER_CALL = 10_000;
const VERSIONS = new Set(['v24.0', 'v25.0', 'v26.0']);
const HASHED = new Set(['EMAIL', 'PHONE', 'FN', 'LN', 'FI', 'CT', 'ST', 'ZIP', 'COUNTRY', 'GEN', 'DOBY', 'DOBM', 'DOBD']);
const STRONG: Readonly<Record<string, string>> = { EXTERN_ID: 'external_id', EMAIL: 'email', PHONE: 'phone', MADID: 'maid' };
const OPTIONS = ['DATA_PROCESSING_OPTIONS', 'DATA_PROCESSING_OPTIONS_COUNTRY', 'DATA_PROCESSING_OPTIONS_STATE'];

const failure = (status: number, code: number, message: string, subcode?: number, headers?: Record<string, string>): Reply => ({
  status,
  headers,
  json: {
    error: {
      message: `(#${code}) ${message}`,
      type: 'OAuthException',
      code,
      error_subcode: subcode,
      fbtrace_id: 'AsandboxTrace',
    },
  },
});

type Cell = string | 0 | 1 | 1000 | readonly 'LDU'[];

/** By hand, because a request has tens of thousands of cells. */
const isCell = (cell: unknown): cell is Cell =>
  typeof cell === 'string' ||
  cell === 0 ||
  cell === 1 ||
  cell === 1000 ||
  (Array.isArray(cell) && cell.length <= 1 && cell.every((option) => option === 'LDU'));
const rowsOfCells = z.custom<Cell[][]>(
  (data) => Array.isArray(data) && data.length > 0 && data.every((row) => Array.isArray(row) && row.every(isCell)),
);
const payload = z.strictObject({ schema: z.array(z.string()).min(1), data: rowsOfCells });
const upload = z.strictObject({
  payload,
  session: z.strictObject({
    session_id: z.number(),
    batch_seq: z.int().positive(),
    last_batch_flag: z.boolean(),
    estimated_num_total: z.int().positive().optional(),
  }),
});
const creation = z.strictObject({
  name: z.string().min(1),
  subtype: z.literal('CUSTOM'),
  description: z.string().optional(),
  customer_file_source: z.enum(['USER_PROVIDED_ONLY', 'PARTNER_PROVIDED_ONLY', 'BOTH_USER_AND_PARTNER_PROVIDED']),
});

/** Throttled with the minutes to wait, in the header that Meta says it in. */
const throttled = (afterMs: number): Reply =>
  failure(400, 80003, 'There have been too many calls to this ad-account.', 2446079, {
    'x-business-use-case-usage': JSON.stringify({
      '1234567890': [{ type: 'custom_audience', call_count: 100, estimated_time_to_regain_access: Math.ceil(afterMs / 60_000) }],
    }),
  });

export const meta = standIn<State>({
  name: 'meta',
  title: 'Meta Custom Audiences',
  windows: [
    { requests: 190_000, seconds: 3600 },
    { requests: 3_000, seconds: 300 },
  ],
  maxBytes: 20_000_000,
  secret: { access_token: TOKEN, app_secret: APP_SECRET },
  create: () => ({ lists: new Map(), nextId: 238_490_000_000_000_001n, sessions: new Map() }),
  authorise,
  routes: {
    'GET /{version}/act_{account}/customaudiences': findLists,
    'POST /{version}/act_{account}/customaudiences': createList,
    'DELETE /{version}/act_{account}/usersofanyaudience': eraseEverywhere,
    'POST /{version}/{list}/users': (call) => changeUsers(call, addRow),
    'DELETE /{version}/{list}/users': (call) => changeUsers(call, removeRow),
    'GET /{version}/{list}': describeList,
  },
  replies: {
    unauthorised: () => failure(401, 190, 'Error validating access token: session has expired.', 463),
    forbidden: () => failure(403, 200, 'Permissions error', 1870050),
    throttled,
    failed: (status) => failure(status, 2, 'Service temporarily unavailable'),
    tooLarge: () => failure(413, 100, 'Request entity too large'),
    notFound: () => failure(404, 2500, 'Unknown path components'),
    invalid: (issues) => failure(400, 100, `Invalid parameter ${issues.map((issue) => issue.path).join(', ')}`),
  },
  held: (state) =>
    new Map([...state.lists.values()].map((list) => [list.name, new Set([...list.single, ...[...list.rows.values()].flat()])])),
});

function authorise(call: Call<State>): Reply | undefined {
  const token = call.headers.authorization?.replace(/^Bearer /, '') ?? call.query.get('access_token');
  if (token !== TOKEN) return failure(400, 190, 'Invalid OAuth access token - Cannot parse access token');
  const proof = call.query.get('appsecret_proof');
  const expected = createHmac('sha256', APP_SECRET).update(TOKEN).digest('hex');
  if (proof !== null && proof !== expected) return failure(400, 104, 'Invalid appsecret_proof provided in the API argument');
  if (call.params.version !== undefined && !VERSIONS.has(call.params.version)) {
    return failure(400, 2635, 'You are calling a deprecated version of the Ads API.');
  }
  return undefined;
}

function findLists({ state }: Call<State>): Reply {
  return { status: 200, json: { data: [...state.lists].map(([id, { name }]) => ({ id, name })), paging: {} } };
}

function createList(call: Call<State>): Reply {
  const { name, description = '' } = call.parse(creation);
  if (call.fault('terms')) return termsMissing();
  const id = String(call.state.nextId);
  call.state.nextId += 1n;
  const empty = { single: new Set<string>(), rows: new Map(), rowsOf: new Map(), limited: new Set<string>() };
  call.state.lists.set(id, { name, description, ...empty });
  return { status: 200, json: { id } };
}

function describeList(call: Call<State>): Reply {
  const list = listOf(call);
  const rows = list.single.size + list.rows.size;
  // Rounded down to hundreds, as the real bounds are, and not said of small lists.
  const bound = rows < 1000 ? -1 : Math.floor(rows / 100) * 100;
  return { status: 200, json: { id: call.params.list, name: list.name, approximate_count_lower_bound: bound } };
}

const termsMissing = (): Reply => failure(400, 200, 'Custom Audience Terms Not Accepted', 1870090);

function listOf(call: Call<State>): List {
  const list = call.state.lists.get(call.params.list ?? '');
  if (list === undefined || call.fault('list-deleted')) {
    throw new Refusal(failure(400, 100, 'Unsupported request. Object does not exist or cannot be loaded', 33));
  }
  return list;
}

type Change = (list: List, ids: readonly string[], limited: boolean) => void;

function changeUsers(call: Call<State>, change: Change): Reply {
  const list = listOf(call);
  if (call.fault('terms')) return termsMissing();
  if (call.fault('quota')) return throttled(10 * 60 * 60_000);
  const { payload: rows, session } = call.parse(upload);
  // Session ids are int64: the digits, not what a double makes of them.
  const sessionId = /"session_id":(\d+)/.exec(call.body)?.[1] ?? '';
  const schema = rows.schema.join(',');
  const open = call.state.sessions.get(sessionId) ?? { schema, batches: new Set<number>(), received: 0, closed: false };
  const again = open.batches.has(session.batch_seq);
  if (open.schema !== schema || (open.closed && !again)) return failure(400, 100, 'Invalid session');
  const { invalid } = changeRows(call, rows, (ids, limited) => change(list, ids, limited));
  if (!again) open.received += rows.data.length;
  open.batches.add(session.batch_seq);
  open.closed ||= session.last_batch_flag;
  call.state.sessions.set(sessionId, open);
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    // The samples are the people's own data: that is how Meta answers, and why a connector must not repeat it.
    text: `{"audience_id":"${call.params.list}","session_id":${sessionId},"num_received":${open.received},"num_invalid_entries":${invalid.length},"invalid_entry_samples":${JSON.stringify(invalid.slice(0, 100))}}`,
  };
}

function eraseEverywhere(call: Call<State>): Reply {
  const { payload: rows } = call.parse(z.strictObject({ payload }));
  changeRows(call, rows, (ids) => {
    for (const list of call.state.lists.values()) removeRow(list, ids);
  });
  return { status: 200, json: { success: true } };
}

/** Reads rows as strictly as Meta: a wrong schema refuses the request, a wrong value counts as an invalid entry. */
function changeRows(
  call: Call<State>,
  { schema, data }: z.infer<typeof payload>,
  change: (ids: readonly string[], limited: boolean) => void,
): { readonly invalid: readonly unknown[] } {
  const refuse = (message: string): never => {
    throw new Refusal(failure(400, 100, message));
  };
  call.rows(data.length);
  if (data.length > ROWS_PER_CALL) refuse('Too many users in one request');
  for (const key of schema) {
    if (!HASHED.has(key) && STRONG[key] === undefined && !OPTIONS.includes(key)) refuse('Unknown key in schema');
  }
  const invalid: unknown[] = [];
  for (const [index, row] of data.entries()) {
    if (row.length !== schema.length) refuse('Row and schema have different lengths');
    const ids: string[] = [];
    let [bad, limited] = [false, false];
    for (let column = 0; column < row.length; column += 1) {
      const [key, value] = [schema[column] as string, row[column] as Cell];
      if (value === '') continue;
      if (OPTIONS.includes(key)) limited ||= typeof value === 'object' && value.length > 0;
      else if (!isValid(key, value)) bad = true;
      else if (STRONG[key] !== undefined) ids.push(`${STRONG[key]}:${value}`);
    }
    if (bad || ids.length === 0 || call.refusesRow(index)) invalid.push(row);
    else change(ids, limited);
  }
  return { invalid };
}

/** Whether Meta can match the cell: hashes where it wants hashes, a UUID where it wants that, and text. */
function isValid(key: string, value: Cell): value is string {
  if (typeof value !== 'string') return false;
  if (HASHED.has(key)) return /^[0-9a-f]{64}$/.test(value);
  return key !== 'MADID' || /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value);
}

function addRow(list: List, ids: readonly string[], limited: boolean): void {
  const key = ids.join(' ');
  if (limited) list.limited.add(key);
  else list.limited.delete(key);
  if (ids.length === 1) {
    list.single.add(key);
    return;
  }
  list.rows.set(key, ids);
  for (const one of ids) {
    const rows = list.rowsOf.get(one);
    if (rows === undefined) list.rowsOf.set(one, new Set([key]));
    else rows.add(key);
  }
}

function removeRow(list: List, ids: readonly string[]): void {
  for (const one of ids) {
    list.single.delete(one);
    list.limited.delete(one);
    for (const key of list.rowsOf.get(one) ?? []) {
      for (const other of list.rows.get(key) ?? []) {
        if (other !== one) list.rowsOf.get(other)?.delete(key);
      }
      list.rows.delete(key);
      list.limited.delete(key);
    }
    list.rowsOf.delete(one);
  }
}
