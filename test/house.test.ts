import { existsSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { missingFrom } from '../.ci/complete-lock.ts';
import { projectFiles, ROOT } from './project-files.ts';

const files = projectFiles();
const read = (file: string): string => readFileSync(ROOT + file, 'utf8');
const BINARY = /\.(parquet|duckdb|png|jpg|gz|zip|ico|woff2)$/;
const texts = files.filter((file) => !BINARY.test(file)).map((file) => ({ file, lines: read(file).split('\n') }));
const SELF = 'test/house.test.ts';

interface Place {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** Lines of the project that match, as `file:line text`; without this file, which has to name what it looks for. */
function places(pattern: RegExp, spare: (place: Place) => boolean = () => false): string[] {
  return texts
    .filter(({ file }) => file !== SELF)
    .flatMap(({ file, lines }) =>
      lines.flatMap((text, i) => (pattern.test(text) ? [{ file, line: i + 1, text: text.trim().slice(0, 120) }] : [])),
    )
    .filter((place) => !spare(place))
    .map(({ file, line, text }) => `${file}:${line} ${text}`);
}

describe('the lock file', () => {
  const lock = JSON.parse(read('package-lock.json')) as Parameters<typeof missingFrom>[0];

  it('names no download address, so that it works with every registry', () => {
    expect(places(/"resolved":|https?:\/\/[^"]*\.tgz/, ({ file }) => file !== 'package-lock.json')).toEqual([]);
  });

  it('has every package of every platform, without which npm ci refuses it; `node .ci/complete-lock.ts` adds them', () => {
    expect(missingFrom(lock).map(({ by, name }) => `${by} needs ${name}`)).toEqual([]);
  });

  it('pins every dependency of package.json to one exact version', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
    );
    expect(loose).toEqual([]);
  });
});

describe('no file of the project', () => {
  it('knows the machine it was written on: no path of a home or work folder, no registry host', () => {
    // A JSON:API pointer (/data/attributes/...) is a place in a request, not on a disk.
    const paths = /(?:^|[^\w.~:/-])\/(?:work|root|home|Users|tmp|mnt|data(?!\/(?:attributes|relationships)\b))\/[\w.-]+/;
    const hosts = /https?:\/\/(?:registry|npm|deb|pypi|files)\.[\w.-]+|registry=|localhost:4873/;
    const spare = ({ file }: Place): boolean => file === 'package-lock.json';
    expect([...places(paths, spare), ...places(hosts, spare)]).toEqual([]);
  });

  it('holds a secret: no key, token or password in a form that is one', () => {
    const secrets =
      /AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----(?!\\n\.\.\.)|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[0-9A-Za-z-]{10,}|sk_live_[0-9a-zA-Z]{10,}|eyJ[A-Za-z0-9_-]{20,}\.eyJ/;
    expect(places(secrets)).toEqual([]);
  });

  it('says how the project came to be', () => {
    const words =
      /\bco-authored-by\b|\b(?:generated|written|assisted) (?:by|with) (?:an? )?(?:AI|LLM|model|assistant|bot)\b|\bissue #?\d+\b/i;
    expect(places(words, ({ file }) => file === 'package-lock.json')).toEqual([]);
  });

  it('is left for later: no open end without its reason in the docs', () => {
    expect(places(/\b(?:TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
  });

  it('is named after nothing: no utils, helpers, manager or common', () => {
    expect(files.filter((file) => /(?:^|\/)(?:utils?|helpers?|managers?|common)(?:\.|\/)/.test(file))).toEqual([]);
  });
});

describe('the tests', () => {
  it('run all: none is alone, and one that is left out says why in its title', () => {
    const alone = places(/\b(?:it|test|describe)(?:\.\w+)*\.only\b/, ({ file }) => !file.startsWith('test/'));
    const left = places(
      /\b(?:it|test|describe)(?:\.\w+)*\.(?:skip|todo)\s*\(/,
      ({ file, text }) => !file.startsWith('test/') || /\((['"`]).*\bbecause\b.*\1/.test(text),
    );
    expect([...alone, ...left]).toEqual([]);
  });

  it('promise something: no title says only that it should work', () => {
    expect(places(/\b(?:it|test)\((['"`])(?:works|should work|test|basic|ok)\1/i)).toEqual([]);
  });
});

describe('the documents', () => {
  const pages = files.filter((file) => file.endsWith('.md'));
  const anchors = (file: string): Set<string> =>
    new Set(
      read(file)
        .split('\n')
        .filter((line) => /^#{1,6} /.test(line))
        .map((line) =>
          line
            .replace(/^#+ /, '')
            .toLowerCase()
            .replace(/[^\p{L}\p{N}\s_-]/gu, '')
            .trim()
            .replaceAll(/\s/g, '-'),
        ),
    );

  it('are there: README, CHANGELOG, LICENSE, lifecycle and decisions', () => {
    const wanted = ['README.md', 'CHANGELOG.md', 'LICENSE', 'docs/lifecycle.md', 'docs/adr/0001-ledger-key.md'];
    expect(wanted.filter((file) => !files.includes(file))).toEqual([]);
    expect(read('LICENSE')).toMatch(/^\s+Apache License\s+Version 2\.0, January 2004/);
    expect(read('CHANGELOG.md')).toMatch(/^## Unreleased$/m);
  });

  it('lead only to what exists: every relative link, with its heading or line', () => {
    const broken = pages.flatMap((page) => {
      const prose = read(page).replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, '');
      return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
        if (/^[a-z]+:/i.test(link)) return [];
        const [path = '', fragment = ''] = link.split('#');
        const target = path === '' ? page : posix.normalize(posix.join(posix.dirname(page), path));
        if (!existsSync(ROOT + target)) return [`${page}: ${link} is not there`];
        if (fragment === '' || statSync(ROOT + target).isDirectory()) return [];
        const line = /^L(\d+)$/.exec(fragment)?.[1];
        const found = line === undefined ? anchors(target).has(fragment) : read(target).split('\n').length >= Number(line);
        return found ? [] : [`${page}: ${link} has no such place`];
      });
    });
    expect(broken).toEqual([]);
  });

  it('name only functions that exist where they link to code: [`name`](file.ts)', () => {
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\[`(\w+)`\]\(([^)\s#]+\.ts)\)/g)].flatMap(([, name = '', link = '']) => {
        const target = posix.normalize(posix.join(posix.dirname(page), link));
        const exported = new RegExp(`export (?:async )?(?:function\\*?|const|class|interface|type|abstract class) ${name}\\b`);
        return existsSync(ROOT + target) && !exported.test(read(target)) ? [`${page}: ${target} exports no ${name}`] : [];
      }),
    );
    expect(broken).toEqual([]);
  });

  it('are there where code or another document names one, by path or by number: docs/adr/0001', () => {
    const known = (path: string): boolean =>
      files.some((file) => file === path || file.startsWith(/\d$/.test(path) ? `${path}-` : `${path}/`));
    const broken = texts
      // The example that the page on connectors walks through is made by the reader.
      .filter(({ file }) => file !== SELF && file !== 'docs/connectors/README.md' && /\.(ts|js)$|^docs\/|^[^/]+\.md$/.test(file))
      .flatMap(({ file, lines }) =>
        lines.flatMap((text, i) =>
          [...text.matchAll(/(?<![\w./-])docs\/[\w-]+(?:\/[\w-]+)*(?:\.md)?/g)].flatMap(([path]) =>
            known(path) ? [] : [`${file}:${i + 1} ${path}`],
          ),
        ),
      );
    expect(broken).toEqual([]);
  });

  it('are what a reader can open: no file refers to papers outside the project', () => {
    expect(places(/\b(?:DESIGN|HOUSE-STYLE)(?:\.md)?\b/)).toEqual([]);
  });

  it('number every decision once, with context, decision and consequences', () => {
    const decisions = files.filter((file) => /^docs\/adr\/\d{4}-/.test(file));
    const numbers = decisions.map((file) => file.slice(9, 13));
    expect(numbers).toEqual([...new Set(numbers)]);
    const incomplete = decisions.filter((file) => !/^## Context$[\s\S]*^## Decision$[\s\S]*^## Consequences$/m.test(read(file)));
    expect(incomplete).toEqual([]);
  });

  it('name only scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\bnpm run ([\w:-]+\w)/g)].flatMap(([, name = '']) =>
        scripts[name] ? [] : [`${page}: npm run ${name}`],
      ),
    );
    expect(broken).toEqual([]);
  });
});
