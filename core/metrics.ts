/**
 * Names of the numbers that a deployed Sluice publishes: functions write them, alarms and the dashboard read them.
 * Every one is a count or a size; none is about a person.
 */
export const METRICS = {
  namespace: 'Sluice',
  /** Dimension of every metric: several stages can live in one account. */
  stage: 'stage',
  /** Second dimension of what is about one audience. */
  audience: 'audience',
  names: {
    /** Runs that ended well, also with nothing to send. */
    done: 'RunsDone',
    failed: 'RunsFailed',
    /** Runs that wait for a person. */
    held: 'RunsHeld',
    /** Members that destinations took, and those they refused. */
    taken: 'MembersTaken',
    rejected: 'MembersRejected',
    withheld: 'MembersWithheld',
    /** Hours or days a delivery waits because its destination's budget or quota is spent. */
    budgetWaits: 'BudgetWaits',
    /** Queries that Athena cancelled at the bytes cutoff. */
    cutoffs: 'QueryCutoffs',
    bytesScanned: 'BytesScanned',
    /** Seconds from a withdrawal's record to its removal. */
    withdrawalSeconds: 'WithdrawalSeconds',
    /** Erasures that some destination has not confirmed yet. */
    erasuresOpen: 'ErasuresOpen',
  },
} as const;
