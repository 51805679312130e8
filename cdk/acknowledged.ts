import { Stack, Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** What cdk-nag finds and is meant, each with its reason; recorded where it is made, so that a new finding elsewhere stays one. */
export function meant(construct: IConstruct, rule: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions-${rule}`, reason });
}

/** A permission on all objects under a name. `resource` is the ARN as the policy has it. */
export function meantWildcard(construct: IConstruct, resource: string, reason: string): void {
  meant(construct, `IAM5[Resource::${written(Stack.of(construct).resolve(resource))}]`, reason);
}

/** A resolved ARN as cdk-nag writes it: `<Bucket.Arn>/runs/*`. */
function written(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return String(value);
  if ('Ref' in value) return `<${String(value.Ref)}>`;
  if ('Fn::GetAtt' in value && Array.isArray(value['Fn::GetAtt'])) return `<${value['Fn::GetAtt'].join('.')}>`;
  if ('Fn::Join' in value && Array.isArray(value['Fn::Join'])) {
    const [separator, parts] = value['Fn::Join'] as [string, unknown[]];
    return parts.map(written).join(separator);
  }
  return JSON.stringify(value);
}
