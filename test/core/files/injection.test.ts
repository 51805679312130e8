import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { hostile } from '../../hostile.ts';
import { load, seen, shopWith } from './shop.ts';

describe('names that become paths, keys and SQL', () => {
  it('of audiences and destinations are plain, whatever a file is called', () => {
    const { workspace: shop } = load(shopWith());
    const rule = 'where: { country: DE }\n';
    fc.assert(
      fc.property(fc.uniqueArray(hostile, { minLength: 1, maxLength: 5 }), (names) => {
        const files = shopWith(Object.fromEntries(names.map((name) => [`audiences/${name}.yaml`, rule])));
        for (const name of names) files.set(`destinations/${name}.yaml`, 'connector: files\npurpose: partner_offers\n');
        const { workspace } = load(files);
        const added = [...Object.keys(workspace?.audiences ?? {}), ...Object.keys(workspace?.destinations ?? {})];
        expect(added.filter((name) => !/^[a-z0-9][a-z0-9_-]{0,63}$/.test(name))).toEqual([]);
        expect(added).toEqual(expect.arrayContaining(Object.keys(shop?.audiences ?? {})));
      }),
      { numRuns: 50 },
    );
  });

  test('of tables lead nowhere: {table} in the path of a server is one part of it, and no pattern', () => {
    const renamed = (name: string) =>
      seen({
        'contracts/support.yaml': (text) =>
          text.replace('  - name: support_ticket_opened\n', `  - name: support_ticket_opened\n    physicalName: ${name}\n`),
      });
    expect(renamed('../../etc/passwd')).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:17:14  The event "support_ticket_opened" is not known, because contracts/support.yaml has errors of its own. [broken-contract]
        17 |     - event: support_ticket_opened
           |              ^^^^^^^^^^^^^^^^^^^^^
        Correct that file first.

      contracts/support.yaml:21:19  "../../etc/passwd" cannot be the name of a table in a warehouse: it may not hold / \\ * ? [ ] { } nor an empty part. [invalid-value]
        21 |     physicalName: ../../etc/passwd
           |                   ^^^^^^^^^^^^^^^^
        Where the files of the table lie says the path of its server."
    `);
    for (const name of ['a/b', '"a\\\\b"', '"*"', '"[ab]"', '..', 'a..b', '.a', '"a\\0b"', '"a\\nb"'])
      expect([name, renamed(name).includes('[invalid-value]')]).toEqual([name, true]);
    for (const name of ['crm.tickets', '"tickets of 2026"', `"it's"`, '\'say "hi"\''])
      expect([name, renamed(name)]).toEqual([name, '']);
  });

  test('of columns hold no control characters', () => {
    expect(
      seen({
        'contracts/support.yaml': (text) =>
          text.replace('      - name: topic\n', '      - name: topic\n        physicalName: "topic\\0x"\n'),
      }),
    ).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:17:14  The event "support_ticket_opened" is not known, because contracts/support.yaml has errors of its own. [broken-contract]
        17 |     - event: support_ticket_opened
           |              ^^^^^^^^^^^^^^^^^^^^^
        Correct that file first.

      contracts/support.yaml:41:15  The name of a column must not be empty nor hold control characters. [invalid-value]
        41 |       - name: topic
           |               ^^^^^"
    `);
  });
});
