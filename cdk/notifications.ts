import { Stack } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { SubscriptionFilter, Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';

/** Where outcomes of runs and alarms are told. Messages of runs carry the attributes `owner`, `audience` and `state`, to be filtered by. */
export class Notifications extends Construct {
  readonly topic: Topic;

  constructor(scope: Construct, id: string, { key, owners }: { readonly key: IKey; readonly owners: readonly string[] }) {
    super(scope, id);
    this.topic = new Topic(this, 'Topic', { displayName: 'Sluice', masterKey: key, enforceSSL: true });
    // A policy of its own takes the place of the one that lets the account publish, so alarms are named here.
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
    for (const owner of [...new Set(owners)].toSorted()) {
      this.topic.addSubscription(
        new EmailSubscription(owner, { filterPolicy: { owner: SubscriptionFilter.stringFilter({ allowlist: [owner] }) } }),
      );
    }
  }

  letPublish(to: IGrantable): void {
    const principal = to.grantPrincipal;
    principal.addToPrincipalPolicy(new PolicyStatement({ actions: ['sns:Publish'], resources: [this.topic.topicArn] }));
    const key = this.topic.masterKey;
    if (key !== undefined) {
      principal.addToPrincipalPolicy(
        new PolicyStatement({ actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [key.keyArn] }),
      );
    }
  }
}
