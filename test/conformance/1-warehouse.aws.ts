import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { text } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';
import type { Readable } from 'node:stream';
import { openDeployment } from '../../cli/deployment.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { ulid } from '../../core/ulid.ts';
import { warehouseContract } from '../contracts/warehouse.ts';
import { STAGE } from './files.ts';

/** The port's suite with its golden vectors, as on DuckDB and on Trino, through the workgroup and the catalog tables of the deployment. */
warehouseContract('Athena, the real one,', async () => {
  const deployment = await openDeployment(STAGE, { clock: systemClock });
  const s3 = new S3Client({ maxAttempts: 5 });
  const folder = `runs/${ulid(systemClock.now(), systemClock.random)}`;
  let n = 0;
  return {
    warehouse: deployment.ports.warehouse,
    prefix: () => `s3://${deployment.outputs.SLUICE_STATE_BUCKET}/${folder}/${n++}`,
    async read(location) {
      const [, Bucket, Key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(location) ?? [];
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
      return text(location.endsWith('.gz') ? (Body as Readable).pipe(createGunzip()) : (Body as Readable));
    },
    async close() {
      s3.destroy();
      await deployment.close();
    },
  };
});
