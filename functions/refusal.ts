/** What a function has no access to refuses by name when it is asked for: by its privileges, not by a mistake. */
export function refuse(what: string): never {
  throw new Error(`This function has no access to ${what}, on purpose.`);
}
