/** The folder of the package. Holds for the sources (cli/package-root.ts) and for the bundle (dist/main.js): both lie one folder deep. */
export const PACKAGE_ROOT = new URL('../', import.meta.url);
