import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, expect, inject, it } from 'vitest';
import { STAGE } from './files.ts';
import { story } from './story.ts';

const s3 = new S3Client({ maxAttempts: 5 });
afterAll(() => s3.destroy());

interface Shown {
  readonly lists: readonly { readonly size: number }[];
  readonly received: Readonly<Record<string, { readonly requests: number }>>;
}
async function shown(platform: string): Promise<Shown> {
  const answer = await fetch(`${inject('sandbox')}/_sandbox/${platform}`);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Shown;
}

it('a run on AWS, against the sandbox in a Lambda: sent, unchanged, withdrawn, forgotten and proved', async () => {
  const told = story({
    dir: inject('workspace'),
    stage: STAGE,
    async rows(rows) {
      for (const [role, all] of Object.entries(rows))
        await s3.send(
          new PutObjectCommand({
            Bucket: inject('tables'),
            Key: `${role}/rows.json`,
            Body: all.map((row) => `${JSON.stringify(row)}\n`).join(''),
          }),
        );
    },
    held: async (platform) => (await shown(platform)).lists.reduce((sum, { size }) => sum + size, 0),
    requests: async (platform) =>
      Object.values((await shown(platform)).received).reduce((sum, { requests }) => sum + requests, 0),
  });
  await expect(told).resolves.toBeUndefined();
});
