import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LAKE_COLUMNS, lakeTables } from '../../../core/sql/lake-tables.ts';

const folder = new URL('../../../core/sql/', import.meta.url);
const NOT_READ_BY_SQL = ['LAKE_COLUMNS'];

describe('the tables over our own files', () => {
  it('have every column of every relation of core/sql, and a name means the same type in all of them', async () => {
    const wrong: string[] = [];
    for (const file of readdirSync(folder)) {
      const exports = (await import(new URL(file, folder).href)) as Record<string, unknown>;
      for (const [name, value] of Object.entries(exports)) {
        if (!name.endsWith('_COLUMNS') || NOT_READ_BY_SQL.includes(name)) continue;
        for (const [column, type] of Object.entries(value as Record<string, string>))
          if (LAKE_COLUMNS[column] !== type) wrong.push(`${file} ${name}.${column}: ${type}, not ${LAKE_COLUMNS[column]}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('are two, read a folder that a query names, and ask the catalog for nothing else', () => {
    const [parquet, lines] = lakeTables('state-bucket', { member: 'varchar', ids: 'array(varchar)', times: 'integer' });
    expect(parquet).toEqual({
      name: 'sluice_parquet',
      format: 'parquet',
      columns: { member: 'string', ids: 'array<string>', times: 'int' },
      partitionKeys: { prefix: 'string' },
      inputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat',
      outputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat',
      serde: 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe',
      serdeParameters: { 'serialization.format': '1' },
      parameters: {
        EXTERNAL: 'TRUE',
        'projection.enabled': 'true',
        'projection.prefix.type': 'injected',
        'storage.location.template': 's3://state-bucket/${prefix}',
        classification: 'parquet',
      },
      location: 's3://state-bucket/',
    });
    expect([lines.name, lines.serde, lines.serdeParameters['ignore.malformed.json']]).toEqual([
      'sluice_lines',
      'org.openx.data.jsonserde.JsonSerDe',
      'false',
    ]);
  });
});
