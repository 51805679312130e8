import { describe, expect, it } from 'vitest';
import { problemsGithub, problemsJson, problemsText } from '../../cli/render/problems.ts';

const found = {
  texts: new Map([['audiences/vips.yaml', 'owner: crm\nremoval_limt: 20%\n']]),
  problems: [
    {
      rule: 'unknown-key',
      severity: 'error' as const,
      file: 'audiences/vips.yaml',
      line: 2,
      column: 1,
      endColumn: 13,
      message: 'Unknown key "removal_limt" in an audience.',
      hint: 'Did you mean "max_removed" (under guardrails)?',
    },
    { rule: 'odd', severity: 'warning' as const, file: 'a,b:c.yaml', line: 1, column: 1, message: '100 % sure,\nno: maybe' },
  ],
};

describe('problems', () => {
  it('as text show place, code and way out, and how many there are', () => {
    expect(problemsText(found)).toBe(
      [
        'audiences/vips.yaml:2:1  Unknown key "removal_limt" in an audience. [unknown-key]',
        '  2 | removal_limt: 20%',
        '    | ^^^^^^^^^^^^',
        '  Did you mean "max_removed" (under guardrails)?',
        '',
        'a,b:c.yaml:1:1  Warning: 100 % sure,\nno: maybe [odd]',
        '',
        '1 problem and 1 warning.',
      ].join('\n'),
    );
  });

  it('as JSON are one array of all they are', () => {
    expect(JSON.parse(problemsJson(found))).toEqual(found.problems);
  });

  it('for GitHub are one workflow command each, with everything escaped that ends a property or a line', () => {
    expect(problemsGithub(found).split('\n')).toEqual([
      '::error file=audiences/vips.yaml,line=2,col=1,endColumn=13,title=sluice unknown-key::Unknown key "removal_limt" in an audience. Did you mean "max_removed" (under guardrails)?',
      '::warning file=a%2Cb%3Ac.yaml,line=1,col=1,title=sluice odd::100 %25 sure,%0Ano: maybe',
    ]);
  });
});
