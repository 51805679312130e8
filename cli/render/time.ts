/** `2026-11-22 06:00:00Z`: an instant (epoch milliseconds) as people and tools can both read it. */
export const instant = (epochMs: number): string =>
  new Date(epochMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
