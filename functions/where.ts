/** Commands that work on a deployed stack, by `--env aws`. */
const THERE = [
  'plan',
  'sync',
  'approve',
  'reject',
  'status',
  'history',
  'explain',
  'audit',
  'forget',
  'withdraw',
  'retire',
  'retry',
  'rollback',
];
const COMMAND = new RegExp(`\\bsluice (${THERE.join('|')})\\b(?! --env)`, 'g');

/** A text whose ways out name commands, for whoever works on the stack of a stage: with the options that lead there. `dev` is the default. */
export const pointed = (text: string, stage: string): string =>
  text.replace(COMMAND, `sluice $1 --env aws${stage === 'dev' ? '' : ` --stage ${stage}`}`);
