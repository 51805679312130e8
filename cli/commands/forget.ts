import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import type { Erasure } from '../../core/forget/erasure.ts';
import { erasureOf, erasures } from '../../core/forget/forget.ts';
import { receiptBody, verifyReceipt } from '../../core/forget/receipt.ts';
import { type ForgetRequest, parseOpenDsr } from '../../core/forget/request.ts';
import { ulid } from '../../core/ulid.ts';
import { type Call, type Command, CommandFailed, EXIT, type Exit, UsageError, WHERE } from '../command.ts';
import { erasureText } from '../render/erasure.ts';
import { inWorkspace, stageOf } from '../session.ts';
import { openVerifier } from '../signing-key.ts';
import type { OpenWorkspace } from '../wiring.ts';

export const forget: Command = {
  name: 'forget',
  summary: 'erase somebody at every destination, and see to it that nothing sends them again',
  arguments: '[request.json]',
  takes: [0, 1],
  options: {
    customer: { value: 'id', help: 'by hand: the customer of this id' },
    identity: { value: 'namespace', help: 'by hand: whoever holds the identifiers on stdin, one a line, of this namespace' },
    'all-holders': { help: 'an identity that several customers hold stands for all of them' },
    'from-table': { help: 'only the requests in the erasures table' },
    later: { help: 'write the request down and do nothing yet: it can still be cancelled' },
    continue: { help: 'go on with everything that is not done' },
    status: { value: 'id|all', help: 'where an erasure stands' },
    cancel: { value: 'id', help: 'take back a request that is pending' },
    receipt: { value: 'id', help: 'the signed receipt, as JSON on stdout' },
    verify: { value: 'file', help: 'whether a receipt is as it was signed' },
    key: { value: 'file', help: 'with --verify: a public key other than the one of this workspace' },
    ...WHERE,
  },
  details: `The request is a file in OpenDSR form, or - for stdin. Identifiers are never taken from the command line: it stays in the history of the
shell and in the list of processes, where personal data has no place.

The person is erased from the whole platform where it has such a call, and taken out of our lists otherwise; ledgers, snapshots and deltas are
cleaned, and a tombstone of keyed hashes stays. What does not answer now is tried again by --continue and by every sync. Exit code 1
while something is not done.

  sluice forget request.json
  sluice forget --customer C-10442
  sluice forget --identity email < address.txt
  sluice forget --receipt 0b3e… > receipt.json && sluice forget --verify receipt.json`,
  async run(call) {
    const way = wayOf(call);
    if (way === 'verify') return verify(call);
    const request = way === 'request' ? await requestOf(call) : undefined;
    return inWorkspace(call, 'sluice forget --continue', (open) => DO[way](call, open, request));
  },
};

const WAYS = ['from-table', 'continue', 'status', 'cancel', 'receipt', 'verify'] as const;
type Way = (typeof WAYS)[number] | 'request';

function wayOf(call: Call): Way {
  const given = WAYS.filter((name) => call.switches.has(name) || call.values[name] !== undefined);
  const named = call.arguments.length > 0 || call.values.customer !== undefined || call.values.identity !== undefined;
  if (given.length + (named ? 1 : 0) > 1)
    throw new UsageError(
      `"sluice forget" does one thing at a time; got ${[...given.map((one) => `--${one}`), ...(named ? ['a request'] : [])].join(' and ')}.`,
    );
  if (given[0] !== undefined) return given[0];
  if (!named)
    throw new UsageError('Whom? Name a request file, --customer or --identity; or say --continue. See: sluice forget --help');
  return 'request';
}

type Doing = (call: Call, open: OpenWorkspace, request: ForgetRequest | undefined) => Promise<Exit>;
const DO: Readonly<Record<Exclude<Way, 'verify'>, Doing>> = {
  async request(call, { actions }, request) {
    if (request === undefined) return EXIT.failed;
    return told(call, [await actions.forget(request, call.switches.has('later'))]);
  },
  // Whoever goes on begins what the tables ask for.
  'from-table': async (call, { actions }) => told(call, await actions.continueForget()),
  continue: async (call, { actions }) => told(call, await actions.continueForget()),
  async status(call, { ports }) {
    const id = call.values.status ?? '';
    return told(call, id === 'all' ? await erasures(ports) : [await erasureOf(ports, id)]);
  },
  cancel: async (call, { actions }) => told(call, [await actions.cancelErasure(call.values.cancel ?? '')]),
  async receipt(call, { ports }) {
    const { id, status, receipt } = await erasureOf(ports, call.values.receipt ?? '');
    if (receipt === undefined)
      throw new CommandFailed(
        `The erasure ${id} is ${status.replace('_', ' ')}; its receipt is signed at the end. Go on: sluice forget --continue`,
      );
    call.terminal.print(JSON.stringify(receipt, null, 2));
    return EXIT.done;
  },
};

/** Says where erasures stand, on stdout. Not done, of what was to be done now, is a failure: somebody must come back. */
function told(call: Call, all: readonly Erasure[]): Exit {
  const { terminal } = call;
  if (call.json)
    terminal.print(
      JSON.stringify(
        all.map((one) => one.receipt ?? receiptBody(one, '')),
        null,
        2,
      ),
    );
  else if (all.length === 0) terminal.say('Nothing is left to forget.');
  else terminal.print(all.map((one) => erasureText(one, terminal.style)).join('\n\n'));
  const open =
    all.some(({ status }) => status === 'in_progress') ||
    (!call.switches.has('later') && all.some(({ waits }) => waits !== undefined));
  return open && call.values.status === undefined ? EXIT.failed : EXIT.done;
}

async function requestOf(call: Call): Promise<ForgetRequest> {
  const [file] = call.arguments;
  if (file !== undefined) {
    if (call.values.customer !== undefined || call.values.identity !== undefined)
      throw new UsageError('A request file says already whom: it stands alone.');
    const text = file === '-' ? await textOf(process.stdin) : await contentOf(file);
    const request = parseOpenDsr(text);
    return call.switches.has('all-holders') ? { ...request, allHolders: true } : request;
  }
  const { customer, identity } = call.values;
  const lines = identity === undefined ? [] : (await textOf(process.stdin)).split('\n').map((line) => line.trim());
  return {
    id: `hand-${ulid(call.clock.now(), call.clock.random)}`,
    source: 'by-hand',
    submittedAt: call.clock.now(),
    customerIds: customer === undefined ? [] : [customer],
    identities: lines.filter((line) => line !== '').map((value) => ({ namespace: identity ?? '', value, format: 'raw' })),
    allHolders: call.switches.has('all-holders'),
  };
}

const contentOf = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CommandFailed(`${file} cannot be read (${error.code ?? 'unknown'}). Nothing was done.`);
  });

const VERDICT = {
  sound: 'is as it was signed',
  altered: 'was altered after it was signed',
  'other-key': 'was signed with another key; name its public half: --key <file>',
  'no-receipt': 'is no receipt',
} as const;

async function verify(call: Call): Promise<Exit> {
  const file = call.values.verify ?? '';
  const receipt = await contentOf(file);
  const { key } = call.values;
  // The key of a deployment stays there: whoever has its public half may name it.
  if (key === undefined && stageOf(call) !== undefined)
    return inWorkspace(call, 'sluice forget --verify', async ({ deployment }) => {
      const answer = await deployment?.ask('forget', 'verify', { receipt });
      return toldVerdict(call, file, answer?.verdict ?? 'no-receipt');
    });
  const pem = await contentOf(key ?? `${call.dir}/.sluice/signing.pub`);
  return toldVerdict(call, file, await verifyReceipt(receipt, openVerifier(pem)));
}

function toldVerdict(call: Call, file: string, verdict: keyof typeof VERDICT): Exit {
  if (call.json) call.terminal.print(JSON.stringify({ receipt: file, verdict }));
  else call.terminal.say(`${file} ${VERDICT[verdict]}.`);
  return verdict === 'sound' ? EXIT.done : EXIT.failed;
}
