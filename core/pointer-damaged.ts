import { LedgerDamaged } from './run/ledger-check.ts';

/** What says which generation is current was altered. A move from `version` to the next one, to a sound generation, makes it whole. */
export class PointerDamaged extends LedgerDamaged {
  readonly version: number;
  constructor(sync: string, generation: string, version: number) {
    super(sync, generation, 'the pointer to it is not as it was written');
    this.name = 'PointerDamaged';
    this.version = version;
  }
}
