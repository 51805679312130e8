import { type IGrantable, ManagedPolicy } from 'aws-cdk-lib/aws-iam';
import { CfnOutput, Stack } from 'aws-cdk-lib';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { meantWildcard } from './acknowledged.ts';
import { allow } from './allow.ts';
import type { Worker } from './function.ts';
import { type Lake, RESULTS } from './lake.ts';
import type { State } from './state.ts';

export interface PeopleProps {
  readonly state: State;
  readonly lake: Lake;
  readonly run: Worker;
  readonly commit: Worker;
  readonly forget: Worker;
  readonly memberKey: ISecret;
}

/**
 * Two policies for the roles of people, attached to nobody here. `operate`: what `sluice --env aws` needs to plan, send, approve and look
 * (plan, sync, approve, reject, retry, rollback, status, history). `privacy`: on top of it what names a person (explain, audit, forget,
 * withdraw, retire), and `plan --compare`, which reads tables. Neither may write to the ledgers, the receipts or the books: functions do that.
 */
export class People extends Construct {
  constructor(scope: Construct, id: string, { state, lake, run, commit, forget, memberKey }: PeopleProps) {
    super(scope, id);
    const stack = Stack.of(this);
    const operate = this.#policy('Operate', 'Sluice: plan, send, approve and look, by the command line');
    allow(operate, ['cloudformation:DescribeStacks'], [stack.stackId]);
    this.#letAsk(operate, run, commit);
    allow(operate, ['lambda:GetDurableExecution'], [`${run.function.functionArn}:*`]);
    state.letRead(operate, 'runs/', 'ledger/');
    state.letReadItems(operate);
    state.letReadAndWrite(operate, RESULTS);
    lake.letQuery(operate);

    const privacy = this.#policy('Privacy', 'Sluice: explain, audit, forget and withdraw, by the command line');
    this.#letAsk(privacy, forget);
    lake.letReadTables(privacy);
    lake.letReadReceipts(privacy);
    state.letReadReceipts(privacy);
    // What a comparison and the decisions about one person need is written for a moment, and deleted.
    state.letNoteScratch(privacy);
    state.letReadAndWrite(privacy, 'runs/');
    state.letDelete(privacy, 'runs/');
    allow(privacy, ['secretsmanager:GetSecretValue'], [memberKey.secretArn]);
  }

  #policy(name: string, description: string): IGrantable & ManagedPolicy {
    const policy = new ManagedPolicy(this, name, { description });
    new CfnOutput(Stack.of(this), `Policy${name}`, { value: policy.managedPolicyArn, description });
    return policy;
  }

  /** Of any version: a policy of people outlives deployments. */
  #letAsk(to: IGrantable, ...workers: readonly Worker[]): void {
    for (const worker of workers) {
      const resource = `${worker.function.functionArn}:*`;
      meantWildcard(Stack.of(this), resource, 'Versions and executions of this one function, which each deployment makes anew.');
      allow(to, ['lambda:InvokeFunction'], [resource]);
    }
  }
}
