import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvCell } from '../../connectors/files.ts';
import { type ClosableHttp, createHttp } from '../../connectors/http.ts';
import { salesforce } from '../../connectors/salesforce.ts';
import { DestinationBroken, type Member } from '../../core/connector.ts';
import { hostile } from '../hostile.ts';

describe('a CSV file', () => {
  it('has the cells that were written, and none that a spreadsheet would run', () => {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-csv-'));
    fc.assert(
      fc.property(fc.array(fc.array(hostile, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 8 }), (rows) => {
        const path = join(dir, 'part.csv');
        writeFileSync(path, rows.map((row) => `${row.map(csvCell).join(',')}\r\n`).join(''));
        const read = parse(readFileSync(path, 'utf8'), { record_delimiter: '\r\n', relax_column_count: false }) as string[][];
        expect(read).toHaveLength(rows.length);
        for (const [i, row] of rows.entries())
          for (const [j, value] of row.entries()) {
            const cell = read[i]?.[j] ?? '';
            expect([value, `'${value}`]).toContain(cell);
            // What OWASP lists, also full-width, and what a reader that trims would see.
            const plain = /^[+-]?\d+(?:\.\d+)?$/.test(cell);
            const run = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(cell) || /^[=+\-@]/.test(cell.trim());
            expect([cell, run && !plain]).toEqual([cell, false]);
          }
      }),
      { numRuns: 1_000 },
    );
    rmSync(dir, { recursive: true });
  });
});

describe('Salesforce', () => {
  const context = {
    settings: {
      external_id_field: 'Key__c',
      object: 'Contact',
      campaign_prefix: 'sluice ',
      email_field: 'Email',
      phone_field: 'Phone',
    },
  } as never;
  const member = (external: string, trait: string): Member => ({
    key: '0'.repeat(32),
    identifiers: [{ namespace: 'external_id', value: external }],
    traits: { Note__c: trait },
    consent: null,
  });

  it('gets a SOQL text that ends where it should, whatever is in it', () => {
    fc.assert(
      fc.property(hostile, (value) => {
        const { text } = salesforce.encode(context, { id: 'x' }, 'remove', member(value, '')) as { text: string };
        expect(text).toMatch(/^'(?:[^'\\\r\n]|\\['\\nr])*'$/);
        const read = text.slice(1, -1).replace(/\\(.)/g, (_all, sign: string) => ({ n: '\n', r: '\r' })[sign] ?? sign);
        expect(read).toBe(value);
      }),
      { numRuns: 500 },
    );
  });

  it('gets a CSV row with the cells that were written', () => {
    fc.assert(
      fc.property(hostile, hostile, (external, trait) => {
        const list = { id: 'x', columns: 'Key__c,Note__c', folded: 'false' };
        const { text } = salesforce.encode(context, list, 'upsert', member(external, trait)) as { text: string };
        expect(parse(text) as string[][]).toEqual([[external, trait]]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a request', () => {
  let server: Server;
  let host: string;
  let http: ClosableHttp;
  /** Every byte that came over all connections. */
  let bytes: Buffer[] = [];
  let requests = 0;

  beforeAll(async () => {
    server = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .on('data', (chunk: Buffer) => {
          bytes.push(chunk);
          // Requests are counted as a server would: by their ends.
          const ends = chunk.toString('latin1').split('\r\n\r\n').length - 1;
          requests += ends;
          for (let i = 0; i < ends; i++) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    http = createHttp({ endpoint: `http://${host}`, timeoutMs: 2_000 });
  });
  afterAll(async () => {
    await http.close();
    server.close();
  });

  const sent = async (path: string, headers: Readonly<Record<string, string>>): Promise<string> => {
    bytes = [];
    requests = 0;
    try {
      await http({ method: 'GET', url: `http://${host}${path}`, headers });
    } catch (error) {
      expect(error).toBeInstanceOf(DestinationBroken);
      expect(bytes).toEqual([]);
      return 'refused';
    }
    expect(requests).toBe(1);
    return Buffer.concat(bytes).toString('latin1');
  };

  it('carries a header value as it is, or is not made: no value becomes a header or a request of its own', async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (value) => {
        const text = await sent('/lists', { authorization: `Bearer ${value}` });
        // oxlint-disable-next-line no-control-regex
        const carries = /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value);
        expect(text === 'refused').toBe(!carries);
        if (text === 'refused') return;
        const lines = text.split('\r\n');
        expect(lines[0]).toBe('GET /lists HTTP/1.1');
        expect(lines.filter((line) => /^(authorization|x-evil):/i.test(line)).map((line) => line.trimEnd())).toEqual([
          `authorization: Bearer ${value}`.trimEnd(),
        ]);
      }),
      { numRuns: 300 },
    );
  });

  it('goes to the list it names: an id is one part of the path, or the request is not made', async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (id) => {
        const text = await sent(`/lists/${encodeURIComponent(id)}/members`, {});
        if (text === 'refused') {
          expect(['.', '..']).toContain(id);
          return;
        }
        const [, path = ''] = text.split(' ');
        const parts = path.split('/');
        expect([parts.length, parts[1], decodeURIComponent(parts[2] ?? ''), parts[3]]).toEqual([4, 'lists', id, 'members']);
      }),
      { numRuns: 300 },
    );
    for (const id of ['..', '.', '%2e%2e', '%2E.', 'a\\..', 'a\r\nHost: evil', 'a b', 'a#b'])
      expect([id, await sent(`/lists/${id}/members`, {})]).toEqual([id, 'refused']);
  });
});
