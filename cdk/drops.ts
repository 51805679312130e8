import { Annotations, type Stack } from 'aws-cdk-lib';
import type { IGrantable } from 'aws-cdk-lib/aws-iam';
import type { Destination, Workspace } from '../core/model.ts';
import { meantWildcard } from './acknowledged.ts';
import { allow } from './allow.ts';
import type { Settings } from './settings.ts';

/**
 * The prefixes of buckets that destinations of `files` name (docs/connectors/files.md), each with what writing there takes: parts and a
 * manifest are put and looked at, the marker `.open` is deleted, and nothing else. A folder of a machine is told of: a function has none.
 */
export function letDrop(to: IGrantable, stack: Stack, settings: Settings, workspace: Workspace): void {
  const destinations = Object.values(workspace.destinations).filter(({ connector }) => connector === 'files');
  const buckets = new Map<string, string[]>();
  for (const destination of destinations) {
    const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*?)\/?$/.exec(folderOf(destination)) ?? [];
    if (bucket === undefined) {
      Annotations.of(stack).addWarningV2(
        `sluice:folder-of-a-machine:${destination.name}`,
        `${destination.file} writes into ${folderOf(destination)}, a folder of the machine, and a function has none: on AWS its syncs fail. ` +
          'Let `folder` be an address such as s3://bucket/prefix.',
      );
      continue;
    }
    // Below the prefix every destination has a folder of its name.
    const own = [prefix, encodeURIComponent(destination.name)].filter((part) => part !== '').join('/');
    buckets.set(bucket, [...(buckets.get(bucket) ?? []), own].toSorted());
  }
  for (const [bucket, folders] of [...buckets].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const arn = `arn:${stack.partition}:s3:::${bucket}`;
    const objects = folders.map((folder) => `${arn}/${folder}/*`);
    const markers = folders.map((folder) => `${arn}/${folder}/*/.open`);
    allow(to, ['s3:PutObject', 's3:GetObject'], objects);
    allow(to, ['s3:DeleteObject'], markers);
    for (const resource of [...objects, ...markers]) {
      meantWildcard(
        stack,
        resource,
        'The files of a run are named by its audience, date and number, below the name of the destination.',
      );
    }
    allow(to, ['s3:ListBucket'], [arn], { StringLike: { 's3:prefix': folders.map((folder) => `${folder}/*`) } });
  }
  // Encrypted with the key that the bucket has.
  if (buckets.size > 0 && settings.drop_keys.length > 0) allow(to, ['kms:GenerateDataKey', 'kms:Decrypt'], settings.drop_keys);
}

const folderOf = ({ settings }: Destination): string => String(settings.folder);
