/** So many syncs one audience can have where its snapshot is read through a catalog, which has to know the columns beforehand. `check` lets fewer through. */
export const MOST_SYNCS = 32;

const SHARED = { member: 'varchar', matched: 'boolean', holdout: 'boolean', country: 'varchar' } as const;
const PER_SYNC = {
  withheld: 'varchar',
  hash: 'varchar',
  identifiers: 'array(varchar)',
  traits: 'array(varchar)',
  consent: 'varchar',
  evidence: 'varchar',
  outside: 'boolean',
} as const;

/** The columns of a snapshot of any audience: what `snapshotQuery` writes, for up to MOST_SYNCS syncs. A file has those of its own syncs. */
export const SNAPSHOT_COLUMNS: Readonly<Record<string, string>> = {
  ...SHARED,
  ...Object.fromEntries<string>(
    Array.from({ length: MOST_SYNCS }, (_, i) =>
      Object.entries(PER_SYNC).map(([name, type]): [string, string] => [`${name}_${i}`, type]),
    ).flat(),
  ),
};
