import { DeleteBucketCommand, DeleteObjectsCommand, ListObjectVersionsCommand, type S3Client } from '@aws-sdk/client-s3';

/** Deletes every version of every object of a bucket, past a governance lock, and on demand the bucket. One that is not there is no mistake. */
export async function emptied(s3: S3Client, bucket: string, away = false): Promise<void> {
  try {
    for (;;) {
      const { Versions = [], DeleteMarkers = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket }));
      const Objects = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
      if (Objects.length === 0) break;
      const { Errors = [] } = await s3.send(
        new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true }, BypassGovernanceRetention: true }),
      );
      const [first] = Errors;
      if (first !== undefined) throw new Error(`${bucket}: ${Errors.length} objects stay, the first for ${first.Code}.`);
    }
    if (away) await s3.send(new DeleteBucketCommand({ Bucket: bucket }));
  } catch (error) {
    if ((error as Error).name !== 'NoSuchBucket') throw error;
  }
}
