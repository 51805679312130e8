import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Comparison, compare, type Move } from '../core/run/compare.ts';
import { type Call, CommandFailed, EXIT, type Exit, UsageError } from './command.ts';
import { didYouMean } from './arguments.ts';
import { comparisonJson, comparisonText } from './render/comparison.ts';
import { problemsText } from './render/problems.ts';
import { readRevision } from './revision.ts';
import { selectDestination } from './selection.ts';
import { failureOf, worst } from './session.ts';
import { checkFiles, type OpenWorkspace } from './wiring.ts';

export interface CompareCall {
  readonly ref: string;
  readonly tick: number | undefined;
  readonly only: string | undefined;
  /** Where moves are written, a JSON line each. */
  readonly list: string | undefined;
}

/** `plan --compare`: each audience by the files here and by those of another revision. Sends nothing and makes no plan. */
export async function compareEach(
  call: Call,
  { workspace, ports, environment }: OpenWorkspace,
  asked: CompareCall,
): Promise<Exit> {
  const { terminal } = call;
  const revision = await readRevision(call.dir, asked.ref);
  const found = await checkFiles(call.dir, revision.files, environment);
  const then = found.workspace;
  if (then === null || found.problems.some(({ severity }) => severity === 'error')) {
    terminal.say(`The files at ${asked.ref} have problems of their own, so nothing can be compared with them:\n`);
    terminal.say(problemsText(found));
    return EXIT.files;
  }
  const sides = [workspace.audiences, then.audiences];
  const names = namesOf(call.arguments, sides, asked.ref);
  const either = names.flatMap((name) => sides.flatMap((audiences) => audiences[name] ?? []));
  const only = selectDestination(either, asked.only);
  const tick = asked.tick ?? call.clock.now();
  const list = asked.list === undefined ? undefined : await openList(resolve(call.dir, asked.list));
  const all: Comparison[] = [];
  const exits: Exit[] = [];
  for (const name of names) {
    try {
      const one = await compare(ports, then, name, {
        tick,
        ...(only !== undefined && { destinations: [only] }),
        ...(list && { onMove: list.write }),
      });
      terminal.live.done();
      if (!call.json) terminal.print(`${all.length === 0 ? '' : '\n'}${comparisonText(one, asked.ref, terminal.style)}`);
      all.push(one);
      exits.push(
        one.findings === undefined ? EXIT.done : one.findings.some(({ kind }) => kind === 'schema') ? EXIT.files : EXIT.held,
      );
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) throw error;
      terminal.say(failure.message);
      exits.push(failure.exit);
    }
  }
  await list?.close();
  if (call.json)
    terminal.print(
      JSON.stringify(
        all.map((one) => comparisonJson(one, asked.ref, revision.commit)),
        null,
        2,
      ),
    );
  else {
    terminal.say(
      `\nCompared with ${asked.ref} (${revision.commit.slice(0, 12)}) as of ${new Date(tick).toISOString()}. Nothing was sent, and no plan was made.`,
    );
    if (asked.list !== undefined) terminal.say(`Who moves, by their member keys: ${asked.list}`);
  }
  return exits.length === 0 ? EXIT.done : worst(exits);
}

type Audiences = OpenWorkspace['workspace']['audiences'];

/** Those named, or all that are sent somewhere by either revision. One that is new or gone has to be somewhere. */
function namesOf(named: readonly string[], sides: readonly Audiences[], ref: string): readonly string[] {
  const known = [...new Set(sides.flatMap((audiences) => Object.keys(audiences)))].sort();
  for (const name of named) {
    if (known.includes(name)) continue;
    throw new UsageError(`There is no audience "${name}", neither here nor at ${ref}.${didYouMean(name, known)}`);
  }
  const isSent = (name: string) => sides.some((audiences) => (audiences[name]?.syncs.length ?? 0) > 0);
  return known.filter((name) => (named.length === 0 ? isSent(name) : named.includes(name)));
}

/** A file that must not be there yet: whoever reads it must know what it is of. */
async function openList(path: string) {
  const file = await open(path, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    throw new CommandFailed(
      `${path} cannot be written (${cause.code ?? cause.name}). Name a file that is not there yet.`,
      EXIT.failed,
      {
        cause,
      },
    );
  });
  let lines: string[] = [];
  const flush = async (): Promise<void> => {
    await file.appendFile(lines.join(''));
    lines = [];
  };
  return {
    write: async (move: Move): Promise<void> => {
      lines.push(`${JSON.stringify(move)}\n`);
      if (lines.length >= 1_000) await flush();
    },
    close: async (): Promise<void> => {
      await flush();
      await file.close();
    },
  };
}
