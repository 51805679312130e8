import { connectors } from '../connectors/index.ts';
import { digestOf } from '../core/files/digest.ts';
import type { Clock } from '../core/ports.ts';
import type { RunPorts } from '../core/run/ports.ts';
import { CommandFailed } from './command.ts';
import { deployedActions } from './deployed-actions.ts';
import { openDeployment } from './deployment.ts';
import type { Found } from './render/problems.ts';
import type { Terminal } from './terminal.ts';
import { checkWorkspace, type OpenWorkspace } from './wiring.ts';

export interface DeployedOptions {
  readonly stage: string;
  readonly clock: Clock;
  readonly terminal: Terminal;
  readonly stopped: () => boolean;
  /** Whether the command names people: only then the key of the member hashes is read, which not everybody may. */
  readonly memberKey: boolean;
}

/**
 * The workspace of a deployed stack: names and rules from the files here, everything else from the stack. Says so where the files here are
 * others than those that are deployed; then nothing new is planned, because it would be planned by those.
 */
export async function openDeployedWorkspace(dir: string, options: DeployedOptions): Promise<OpenWorkspace | Found> {
  const { stage, clock, terminal, stopped } = options;
  const deployment = await openDeployment(stage, { clock, stopped });
  try {
    const environment = deployment.outputs.SLUICE_ENVIRONMENT;
    const { workspace, ...found } = await checkWorkspace(dir, environment);
    if (workspace === null || found.problems.some(({ severity }) => severity === 'error')) {
      await deployment.close();
      return found;
    }
    const digest = digestOf(found.texts);
    const same = digest === deployment.outputs.SLUICE_DIGEST;
    if (!same)
      terminal.say(
        `The files here are not those that are deployed as ${stage}: what is read is read by these, what is done is done by those.`,
      );
    const key = options.memberKey ? await deployment.memberKey() : undefined;
    const ports: RunPorts = {
      ...deployment.ports,
      workspace,
      digest,
      connectors,
      contextFor: ({ name }) => Promise.reject(new CommandFailed(`Only the functions of the deployment speak to ${name}.`)),
      get memberKey(): string {
        if (key === undefined) throw new Error('This command did not ask for the key of the member hashes.');
        return key;
      },
      stopped,
    };
    const actions = deployedActions(deployment, ports, (text) => terminal.live.draw([text]));
    const fresh =
      <A extends readonly unknown[], R>(act: (audience: string, ...rest: A) => Promise<R>) =>
      (audience: string, ...rest: A): Promise<R> => {
        if (same) return act(audience, ...rest);
        throw new CommandFailed(
          `Nothing of "${audience}" was planned or sent. Deploy these files first (npx cdk deploy -c stage=${stage}), or check out what is deployed.`,
        );
      };
    return {
      workspace,
      ports,
      operations: {
        ports,
        journal: () => {
          throw new CommandFailed('A run of a deployment is done by its functions.');
        },
      },
      actions: { ...actions, plan: fresh(actions.plan), sync: fresh(actions.sync) },
      environment,
      deployment,
      close: () => deployment.close(),
    };
  } catch (error) {
    await deployment.close();
    throw error;
  }
}
