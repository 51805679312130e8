import type { Command } from '../command.ts';
import { approve } from './approve.ts';
import { audit } from './audit.ts';
import { check } from './check.ts';
import { explain } from './explain.ts';
import { history } from './history.ts';
import { init } from './init.ts';
import { plan } from './plan.ts';
import { reject } from './reject.ts';
import { retry } from './retry.ts';
import { rollback } from './rollback.ts';
import { sandbox } from './sandbox.ts';
import { status } from './status.ts';
import { sync } from './sync.ts';
import { withdraw } from './withdraw.ts';
import { forget } from './forget.ts';
import { retire } from './retire.ts';

/** Every command, in the order in which people meet them. */
export const COMMANDS: readonly Command[] = [
  init,
  check,
  plan,
  sync,
  approve,
  reject,
  status,
  withdraw,
  forget,
  retire,
  history,
  explain,
  audit,
  retry,
  rollback,
  sandbox,
];
