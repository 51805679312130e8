import { type Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type IGrantable, type IPrincipal, Policy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  Architecture,
  type CfnFunction,
  type Code,
  Function as LambdaFunction,
  type IFunction,
  LoggingFormat,
  Runtime,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { meantWildcard } from './acknowledged.ts';
import type { Settings } from './settings.ts';

export interface WorkerProps {
  readonly what: string;
  /** Only for who must know its own name; the others are named by CloudFormation. */
  readonly name?: string;
  readonly code: Code;
  readonly memory: number;
  readonly timeout: Duration;
  readonly environment: Readonly<Record<string, string>>;
  readonly key: IKey;
  readonly logDays: number;
  readonly network?: Settings['network'];
  /** A run may last this long, suspended between its steps. Set at creation: adding it later replaces the function. */
  readonly durable?: { readonly executionTimeout: Duration; readonly retention: Duration };
}

/** One Lambda function with a role and a log group of its own. It may do nothing but write its log until somebody lets it. */
export class Worker extends Construct implements IGrantable {
  readonly function: LambdaFunction;

  constructor(scope: Construct, id: string, props: WorkerProps) {
    super(scope, id);
    const logGroup = new LogGroup(this, 'Log', {
      retention: props.logDays,
      encryptionKey: props.key,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com'), description: props.what });
    role.addToPolicy(
      new PolicyStatement({ actions: ['logs:CreateLogStream', 'logs:PutLogEvents'], resources: [logGroup.logGroupArn] }),
    );
    // Its environment variables are encrypted with the key.
    role.addToPolicy(new PolicyStatement({ actions: ['kms:Decrypt'], resources: [props.key.keyArn] }));
    const { network } = props;
    if (network !== undefined) role.addToPolicy(networkStatement());
    this.function = new LambdaFunction(this, 'Function', {
      functionName: props.name,
      description: props.what,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      handler: 'index.handler',
      code: props.code,
      memorySize: props.memory,
      timeout: props.timeout,
      environment: { ...props.environment },
      environmentEncryption: props.key,
      role,
      logGroup,
      loggingFormat: LoggingFormat.JSON,
      // An execution that began on a version ends on it: versions stay, and cost nothing but their code.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
      ...(props.durable && {
        durableConfig: { executionTimeout: props.durable.executionTimeout, retentionPeriod: props.durable.retention },
      }),
    });
    if (network !== undefined) {
      // By their ids alone: nothing of the network is looked up, so a synth needs no account.
      const { subnets, security_groups: groups } = network;
      (this.function.node.defaultChild as CfnFunction).vpcConfig = { subnetIds: subnets, securityGroupIds: groups };
    }
    if (props.durable !== undefined) this.#letRemember(role, props.key);
  }

  get grantPrincipal(): IPrincipal {
    return this.function.grantPrincipal;
  }

  /** The version of this deployment: what calls it keeps calling the same code, however often is deployed meanwhile. */
  get version(): IFunction {
    return this.function.currentVersion;
  }

  /** Checkpoints of its own executions. The ARN must be qualified: an unqualified one never matches an execution. */
  #letRemember(role: Role, key: IKey): void {
    (this.function.node.defaultChild as CfnFunction).addPropertyOverride('DurableConfig.KMSKeyArn', key.keyArn);
    const policy = new Policy(this, 'Remember', {
      statements: [
        new PolicyStatement({
          actions: ['lambda:CheckpointDurableExecution', 'lambda:GetDurableExecutionState'],
          resources: [`${this.function.functionArn}:*`],
        }),
        new PolicyStatement({ actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [key.keyArn] }),
      ],
    });
    meantWildcard(
      policy,
      `${this.function.functionArn}:*`,
      'Executions are named by the version they run on; these are its own.',
    );
    // Beside the role, not in its default policy: the function waits for that one, and this one names the function.
    policy.attachToRole(role);
  }
}

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions, read 2026-11-25: no resource can be named. */
function networkStatement(): PolicyStatement {
  return new PolicyStatement({
    actions: [
      'ec2:CreateNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:DeleteNetworkInterface',
      'ec2:AssignPrivateIpAddresses',
      'ec2:UnassignPrivateIpAddresses',
    ],
    resources: ['*'],
  });
}
