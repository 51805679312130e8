import { describe, expect, test } from 'vitest';
import { MAX_SYNCS } from '../../../core/files/audience-schema.ts';
import { MOST_SYNCS } from '../../../core/sql/snapshot-columns.ts';
import { load, seen, seenIn, shopWith } from './shop.ts';

describe('an audience file says, all at once,', () => {
  test('which keys are unknown, and where the one that was meant belongs', () => {
    expect(
      seenIn(
        [
          'where: { country: DE }',
          'removal_limt: 20%',
          'guardrails: { max_removd: 10% }',
          'sycns: []',
          'syncs:',
          '  - to: meta-eu',
          '    mod: mirror',
          '    max_removed: 2%',
          'zzz: 1',
          '__proto__: 1',
          'constructor: 1',
        ].join('\n'),
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:2:1  Unknown key "removal_limt" in an audience. [unknown-key]
        2 | removal_limt: 20%
          | ^^^^^^^^^^^^
        Did you mean "max_removed" (under guardrails)?

      audiences/a.yaml:3:15  Unknown key "max_removd" in the guardrails. [unknown-key]
        3 | guardrails: { max_removd: 10% }
          |               ^^^^^^^^^^
        Did you mean "max_removed"?

      audiences/a.yaml:4:1  Unknown key "sycns" in an audience. [unknown-key]
        4 | sycns: []
          | ^^^^^
        Did you mean "syncs"?

      audiences/a.yaml:7:5  Unknown key "mod" in a sync. [unknown-key]
        7 |     mod: mirror
          |     ^^^
        Did you mean "mode"?

      audiences/a.yaml:8:5  Unknown key "max_removed" in a sync. [unknown-key]
        8 |     max_removed: 2%
          |     ^^^^^^^^^^^
        Did you mean "max_removed" (under guardrails)?

      audiences/a.yaml:9:1  Unknown key "zzz" in an audience. [unknown-key]
        9 | zzz: 1
          | ^^^

      audiences/a.yaml:10:1  Unknown key "__proto__" in an audience. [unknown-key]
        10 | __proto__: 1
           | ^^^^^^^^^

      audiences/a.yaml:11:1  Unknown key "constructor" in an audience. [unknown-key]
        11 | constructor: 1
           | ^^^^^^^^^^^"
    `);
  });

  test('which values are of the wrong type', () => {
    expect(
      seenIn(
        [
          'description: 5',
          'owner: [a]',
          'where: 3',
          'schedule: 7',
          'time_zone: Berlin',
          'holdout: 5',
          'guardrails: { max_added: 20, max_removed: 200%, min_size: many }',
          'syncs: { to: x }',
          'rollout: 10',
          'exclude: { a: b }',
        ].join('\n'),
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:1:14  "description" must be a text, not a number. [wrong-type]
        1 | description: 5
          |              ^
        Put it in quotes: "5".

      audiences/a.yaml:2:8  "owner" must be a text, not a list. [wrong-type]
        2 | owner: [a]
          |        ^^^

      audiences/a.yaml:3:8  A condition must be a mapping such as "country: DE", not a number. [wrong-type]
        3 | where: 3
          |        ^

      audiences/a.yaml:4:11  "schedule" must be a text, not a number. [invalid-schedule]
        4 | schedule: 7
          |           ^
        Write "every day at 06:00 Europe/Berlin", "every monday at 08:00", "every 15 minutes", "cron(0 6 * * ? *)" or "manual".

      audiences/a.yaml:5:12  "Berlin" is not a time zone. [unknown-time-zone]
        5 | time_zone: Berlin
          |            ^^^^^^
        Did you mean "Europe/Berlin"?

      audiences/a.yaml:6:10  "holdout" is a percentage, and 5 has no sign. [invalid-value]
        6 | holdout: 5
          |          ^
        Write 5%.

      audiences/a.yaml:7:26  "max_added" is a percentage, and 20 has no sign. [invalid-value]
        7 | guardrails: { max_added: 20, max_removed: 200%, min_size: many }
          |                          ^^
        Write 20%, or { percent: 0, floor: 20 } for that many members.

      audiences/a.yaml:7:43  "max_removed" must be between 0% and 100%. [out-of-range]
        7 | guardrails: { max_added: 20, max_removed: 200%, min_size: many }
          |                                           ^^^^

      audiences/a.yaml:7:59  "min_size" must be a number, not a text. [wrong-type]
        7 | guardrails: { max_added: 20, max_removed: 200%, min_size: many }
          |                                                           ^^^^

      audiences/a.yaml:8:8  "syncs" must be a list, not a mapping. [wrong-type]
        8 | syncs: { to: x }
          |        ^^^^^^^^^

      audiences/a.yaml:9:10  "rollout" is a percentage, and 10 has no sign. [invalid-value]
        9 | rollout: 10
          |          ^^
        Write 10%.

      audiences/a.yaml:10:10  "exclude" must be a text or a list, not a mapping. [wrong-type]
        10 | exclude: { a: b }
           |          ^^^^^^^^"
    `);
  });

  test('what is missing', () => {
    expect(seenIn('description:\nsyncs:\n  - mode: mirror\n  - to:\n')).toMatchInlineSnapshot(`
      "audiences/a.yaml:1:1  The audience does not say who is in: "where" is missing. [no-rule]
        1 | description:
          | ^^^^^^^^^^^
        Add "where" with a condition, such as "where: { country: DE }".

      audiences/a.yaml:1:13  "description" has no value. [missing-value]
        1 | description:
          |             ^

      audiences/a.yaml:3:5  "to" is missing in a sync. [missing-key]
        3 |   - mode: mirror
          |     ^^^^

      audiences/a.yaml:4:8  "to" has no value. [missing-value]
        4 |   - to:
          |        ^"
    `);
  });

  test('that a rule and SQL are one too many', () => {
    expect(seenIn('where: { country: DE }\nsql: SELECT customer_id FROM customers\n')).toMatchInlineSnapshot(`
      "audiences/a.yaml:2:1  An audience has either "where" or "sql", and this has both. [rule-and-sql]
        2 | sql: SELECT customer_id FROM customers
          | ^^^
        Move one into an audience of its own."
    `);
  });

  test('what is wrong with its shares', () => {
    expect(
      seenIn(
        [
          'where: { country: DE }',
          'holdout: 100%',
          'guardrails:',
          '  max_added: { percent: 5, flor: 3 }',
          '  max_removed: { floor: -1 }',
        ].join('\n'),
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:2:10  A holdout of 100% would send nobody. [out-of-range]
        2 | holdout: 100%
          |          ^^^^

      audiences/a.yaml:4:28  Unknown key "flor" in max_added. [unknown-key]
        4 |   max_added: { percent: 5, flor: 3 }
          |                            ^^^^
        Did you mean "floor"?

      audiences/a.yaml:5:16  "percent" is missing in max_removed. [missing-key]
        5 |   max_removed: { floor: -1 }
          |                ^^^^^^^^^^^^^

      audiences/a.yaml:5:25  "floor" must be a whole number of members, 0 or more. [invalid-value]
        5 |   max_removed: { floor: -1 }
          |                         ^^"
    `);
  });

  test('what its destinations cannot do', () => {
    expect(
      seenIn(
        [
          'where: { country: DE }',
          'syncs:',
          '  - to: meta-uk',
          '  - to: meta-eu',
          '    mode: upsrt',
          '    identifiers: [emial, phone, phone]',
          '  - to: meta-eu',
          '    identifiers: [country, zip]',
          '    traits: { a: country }',
          '  - to: partner-drop',
          '    mode: add-only',
          '    traits: { ltv_band: ltv_band, x: is_staff, y: nope }',
          '    settings: { a: 1 }',
        ].join('\n'),
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:9  There is no destination "meta-uk". [unknown-destination]
        3 |   - to: meta-uk
          |         ^^^^^^^
        Did you mean "meta-eu"?

      audiences/a.yaml:5:11  "mode" must be one of mirror, upsert, add-only, not "upsrt". [invalid-value]
        5 |     mode: upsrt
          |           ^^^^^
        Did you mean "upsert"?

      audiences/a.yaml:6:19  Meta Custom Audiences does not take the identifier "emial". [unsupported-identifier]
        6 |     identifiers: [emial, phone, phone]
          |                   ^^^^^
        Did you mean "email"?

      audiences/a.yaml:6:33  "phone" is listed twice. [duplicate-identifier]
        6 |     identifiers: [emial, phone, phone]
          |                                 ^^^^^

      audiences/a.yaml:7:9  Two syncs go to "meta-eu". [duplicate-sync]
        7 |   - to: meta-eu
          |         ^^^^^^^
        Join them into one; a second ledger for the same list would undo the first.

      audiences/a.yaml:8:28  Meta Custom Audiences does not take the identifier "zip". [unsupported-identifier]
        8 |     identifiers: [country, zip]
          |                            ^^^
        It takes external_id, email, phone, maid, first_name, last_name, city, region, postal_code, country, gender, birth_year, birth_month, birth_day.

      audiences/a.yaml:9:5  Meta Custom Audiences takes no traits. [unsupported-traits]
        9 |     traits: { a: country }
          |     ^^^^^^
        Remove them; the members are sent without.

      audiences/a.yaml:12:25  "ltv_band" may only be sent for email_marketing; partner-drop is for partner_offers. [purpose-not-allowed]
        12 |     traits: { ltv_band: ltv_band, x: is_staff, y: nope }
           |                         ^^^^^^^^
        The path is customers.ltv_band -> contracts/customers.yaml -> audiences/a.yaml -> destinations/partner-drop.yaml. Leave it out, or let whoever owns the contract add the purpose to sluice.purposes.

      audiences/a.yaml:12:51  "nope" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        12 |     traits: { ltv_band: ltv_band, x: is_staff, y: nope }
           |                                                   ^^^^

      audiences/a.yaml:13:5  Files in a folder or a bucket has no settings of a sync. [unsupported-settings]
        13 |     settings: { a: 1 }
           |     ^^^^^^^^
        Settings of the account stand in the file of the destination."
    `);
  });

  test('that twenty destinations are enough', () => {
    const syncs = Array.from({ length: 21 }, (_, index) => `  - to: d${index}\n`).join('');
    const text = seenIn(`where: { country: DE }\nsyncs:\n${syncs}`);
    expect(text.split('\n')[0]).toBe(
      'audiences/a.yaml:3:3  "syncs" must have at most 20 syncs; write a second audience file. [invalid-value]',
    );
    // On AWS a snapshot has columns for so many: an audience that `check` lets through fits.
    expect(MAX_SYNCS).toBeLessThanOrEqual(MOST_SYNCS);
  });

  test('which audiences do not exist', () => {
    expect(seen({ 'audiences/churned.yaml': (text) => text.replace('[staff]', '[stafff]') })).toMatchInlineSnapshot(`
      "audiences/churned.yaml:8:11  There is no audience "stafff". [unknown-audience]
        8 | exclude: [stafff]
          |           ^^^^^^
        Did you mean "staff"?

      audiences/lapsed-vips.yaml:20:24  The audience "churned" has errors of its own, so this one cannot be made. [broken-audience]
        20 |     - not: { audience: churned }
           |                        ^^^^^^^
        Correct that file first."
    `);
  });
});

describe('audiences that refer to each other', () => {
  test('in a circle are told so, also through exclude, and are left out with all that name them', () => {
    const changes = { 'audiences/churned.yaml': (text: string) => text.replace('[staff]', '[staff, lapsed-vips]') };
    expect(seen(changes)).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:20:24  Audiences refer to each other in a circle: churned -> lapsed-vips -> churned. [audience-cycle]
        20 |     - not: { audience: churned }
           |                        ^^^^^^^
        Take one of the references out."
    `);
    expect(Object.keys(load(shopWith(changes)).workspace?.audiences ?? {})).toEqual(['basket-builders', 'staff']);
  });

  test('to themselves are told so', () => {
    expect(seenIn('where: { not: { audience: a } }\nexclude: a\n')).toMatchInlineSnapshot(`
      "audiences/a.yaml:1:27  "a" refers to itself. [audience-cycle]
        1 | where: { not: { audience: a } }
          |                           ^
        Take one of the references out.

      audiences/a.yaml:2:10  "a" refers to itself. [audience-cycle]
        2 | exclude: a
          |          ^
        Take one of the references out."
    `);
  });

  test('in a chain of a thousand are no circle, and the last link that does not hold breaks them all', () => {
    const link = (index: number, next: string) =>
      [`audiences/a${index}.yaml`, `where: { any: [ { country: DE }, { audience: ${next} } ] }\n`] as const;
    const chain = Array.from({ length: 1000 }, (_, index) => link(index, index === 999 ? 'staff' : `a${index + 1}`));
    const whole = load(shopWith(Object.fromEntries(chain)));
    expect(whole.problems).toEqual([]);
    const torn = load(shopWith(Object.fromEntries([...chain.slice(0, 999), link(999, 'nobody')])));
    expect(torn.problems.filter(({ rule }) => rule === 'broken-audience')).toHaveLength(999);
    expect(torn.problems.filter(({ rule }) => rule === 'unknown-audience')).toHaveLength(1);
  });
});

test('a file that is not the YAML it should be says why, at the place', () => {
  const texts = {
    'a list that is not closed': 'where:\n  country: [DE\nowner: x\n',
    'a mapping that is not closed': 'where: { country: DE\n',
    'a text that is not closed': 'owner: "x\nwhere: { country: DE }\n',
    'a tab': 'where:\n\tcountry: DE\n',
    'wrong indent': 'where:\n    country: DE\n  loyalty_tier: gold\n',
    'two colons': 'where: country: DE\n',
    'a key twice': 'where: { country: DE }\nowner: x\nowner: y\n"where": {}\n',
    'two documents': 'where: { country: DE }\n---\nwhere: { country: FR }\n',
    'anchors and aliases': 'where: &w { country: DE }\nowner: *w\n',
    'a tag': 'where: !!binary aGVsbG8=\n',
    'a key that is a list': '? [a]\n: b\n',
    nothing: '',
    'only a comment': '# later\n',
    'a list': '- a\n',
    'a text': 'where\n',
    'nesting without end': `where: ${'['.repeat(5000)}`,
  };
  const answers = Object.entries(texts).map(([what, text]) => `--- ${what}\n${seenIn(text)}`);
  expect(answers.join('\n')).toMatchInlineSnapshot(`
    "--- a list that is not closed
    audiences/a.yaml:3:1  Not valid YAML: a list that begins with "[" is not closed with "]" before this. [yaml-syntax]
      3 | owner: x
        | ^
    --- a mapping that is not closed
    audiences/a.yaml:2:1  Not valid YAML: a mapping that begins with "{" is not closed with "}" before this. [yaml-syntax]
    --- a text that is not closed
    audiences/a.yaml:1:8  Not valid YAML: this text is not closed with a quote. [yaml-syntax]
      1 | owner: "x
        |        ^^
    --- a tab
    audiences/a.yaml:2:1  A tab cannot indent YAML. [tab-indent]
      2 |  country: DE
        | ^
      Indent with spaces.
    --- wrong indent
    audiences/a.yaml:3:1  Not valid YAML: all mapping items must start at the same column. [yaml-syntax]
      3 |   loyalty_tier: gold
        | ^
    --- two colons
    audiences/a.yaml:1:8  Not valid YAML: a second ":" on the line, or a value that does not belong to its key. [yaml-syntax]
      1 | where: country: DE
        |        ^
      Begin a mapping on its own line, indented, or write it in { }; put a text with a ":" in quotes.
    --- a key twice
    audiences/a.yaml:3:1  Key "owner" is given twice in the same place. [duplicate-key]
      3 | owner: y
        | ^^^^^
      Keep one of them.

    audiences/a.yaml:4:1  Key "where" is given twice in the same place. [duplicate-key]
      4 | "where": {}
        | ^^^^^^^
      Keep one of them.
    --- two documents
    audiences/a.yaml:2:1  The file holds several YAML documents. [several-documents]
      2 | ---
        | ^^^
      Give each its own file.
    --- anchors and aliases
    audiences/a.yaml:1:11  Anchors are not allowed ("&w"). [yaml-anchor]
      1 | where: &w { country: DE }
        |           ^^^^^^^^^^^^^^^
      Write the text out where it is used.

    audiences/a.yaml:2:8  Aliases are not allowed: a problem in the copied text would have no one place. [yaml-anchor]
      2 | owner: *w
        |        ^^
      Write the text out.
    --- a tag
    audiences/a.yaml:1:17  The tag "tag:yaml.org,2002:binary" is not allowed. [yaml-tag]
      1 | where: !!binary aGVsbG8=
        |                 ^^^^^^^^
      Leave the tag out.
    --- a key that is a list
    audiences/a.yaml:1:3  A key must be a text. [yaml-key]
      1 | ? [a]
        |   ^^^
      Did you mean to quote it, or is a value missing?
    --- nothing
    audiences/a.yaml:1:1  The file is empty. [empty-file]
    --- only a comment
    audiences/a.yaml:1:1  The file is empty. [empty-file]
      1 | # later
        | ^
    --- a list
    audiences/a.yaml:1:1  The file must be a mapping of keys to values, not a list. [wrong-type]
      1 | - a
        | ^^^
    --- a text
    audiences/a.yaml:1:1  The file must be a mapping of keys to values, not a text. [wrong-type]
      1 | where
        | ^^^^^
    --- nesting without end
    audiences/a.yaml:1:1  The file is nested too deeply to be read. [yaml-syntax]
      1 | where: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…
        | ^"
  `);
});
