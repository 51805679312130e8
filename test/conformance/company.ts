import { join } from 'node:path';
import { App, CfnOutput, Duration, RemovalPolicy, SecretValue, Stack } from 'aws-cdk-lib';
import { CfnDatabase, CfnTable } from 'aws-cdk-lib/aws-glue';
import { Architecture, Code, Function as LambdaFunction, FunctionUrlAuthType, Runtime } from 'aws-cdk-lib/aws-lambda';
import { BlockPublicAccess, Bucket } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { build } from 'esbuild';
import { standIns } from '../../sandbox/index.ts';
import { ROOT } from '../project-files.ts';
import { COMPANY, DATABASE, PLATFORMS, ROLES, secretOf } from './files.ts';

/** What a company has before Sluice comes: tables in a bucket, platforms and their secrets. The platforms are the sandbox in a Lambda. */
const app = new App();
const stack = new Stack(app, 'Company', { stackName: COMPANY, description: 'Made and deleted by: npm run conformance:aws' });
const bucket = new Bucket(stack, 'Tables', {
  blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
  removalPolicy: RemovalPolicy.DESTROY,
});
const database = new CfnDatabase(stack, 'Database', { catalogId: stack.account, databaseInput: { name: DATABASE } });
for (const [role, columns] of Object.entries(ROLES)) {
  new CfnTable(stack, role, {
    catalogId: stack.account,
    databaseName: DATABASE,
    tableInput: {
      name: role,
      tableType: 'EXTERNAL_TABLE',
      parameters: { EXTERNAL: 'TRUE', classification: 'json' },
      storageDescriptor: {
        location: `s3://${bucket.bucketName}/${role}/`,
        inputFormat: 'org.apache.hadoop.mapred.TextInputFormat',
        outputFormat: 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat',
        serdeInfo: { serializationLibrary: 'org.openx.data.jsonserde.JsonSerDe' },
        columns: Object.entries(columns).map(([name, type]) => ({ name, type })),
      },
    },
  }).addResourceDependency(database);
}
for (const platform of PLATFORMS) {
  // The token of a stand-in: it opens nothing.
  new Secret(stack, `Secret-${platform}`, {
    secretName: secretOf(platform),
    secretStringValue: SecretValue.unsafePlainText(JSON.stringify(standIns[platform]?.secret)),
    removalPolicy: RemovalPolicy.DESTROY,
  });
}
const folder = join(app.outdir, 'sandbox');
await build({
  absWorkingDir: ROOT,
  entryPoints: ['test/conformance/sandbox-function.ts'],
  outfile: join(folder, 'index.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  mainFields: ['module', 'main'],
  banner: { js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);" },
  logLevel: 'warning',
});
const sandbox = new LambdaFunction(stack, 'Sandbox', {
  runtime: Runtime.NODEJS_24_X,
  architecture: Architecture.ARM_64,
  handler: 'index.handler',
  code: Code.fromAsset(folder),
  memorySize: 512,
  timeout: Duration.seconds(30),
});
const url = sandbox.addFunctionUrl({ authType: FunctionUrlAuthType.NONE });
new CfnOutput(stack, 'TablesBucket', { key: 'Tables', value: bucket.bucketName });
new CfnOutput(stack, 'SandboxUrl', { key: 'Sandbox', value: url.url });
app.synth();
