import { ArnFormat, Stack } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { Workspace } from '../core/model.ts';
import type { Settings } from './settings.ts';

/**
 * The secrets that the files of the destinations name, and no other. They are made by whoever owns the account at the platform, before or after
 * the deploy; Secrets Manager adds six characters to the name in the ARN.
 * https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html, read 2026-11-25.
 */
export function letReadSecrets(to: IGrantable, scope: Construct, settings: Settings, workspace: Workspace): void {
  const names = new Set(Object.values(workspace.destinations).flatMap(({ secret }) => (secret === undefined ? [] : [secret])));
  if (names.size === 0) return;
  const resources = [...names].toSorted().map((name) =>
    Stack.of(scope).formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${name}-??????`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    }),
  );
  to.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions: ['secretsmanager:GetSecretValue'], resources }));
  if (settings.secret_keys.length > 0) {
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['kms:Decrypt'], resources: [...settings.secret_keys] }),
    );
  }
}
