import type { Connector, Namespace } from '../core/connector.ts';
import { refuse } from './refusal.ts';

/** What a connector says of its platform: data, without what it does. */
export type Platform = Pick<
  Connector,
  'name' | 'title' | 'defaultIdentifiers' | 'membership' | 'removalNeeds' | 'modes' | 'traits' | 'limits'
> & { readonly namespaces: Readonly<Record<string, Omit<Namespace, 'normalise'>>> };

export const platformOf = (connector: Connector): Platform => {
  const { name, title, defaultIdentifiers, membership, removalNeeds, modes, traits, limits } = connector;
  const namespaces = Object.entries(connector.namespaces).map(([key, { hash, max, weak }]) => {
    return [key, { hash, ...(max !== undefined && { max }), ...(weak !== undefined && { weak }) }] as const;
  });
  return {
    name,
    title,
    defaultIdentifiers,
    membership,
    ...(removalNeeds !== undefined && { removalNeeds }),
    modes,
    traits,
    limits,
    namespaces: Object.fromEntries(namespaces),
  };
};

/** For a function that writes no identifier and sends nothing: the data of the platforms, and no code of a connector in its bundle. */
export const withoutSending = (platforms: Readonly<Record<string, Platform>>): Readonly<Record<string, Connector>> =>
  Object.fromEntries(Object.entries(platforms).map(([name, platform]) => [name, dataOnly(platform)]));

function dataOnly(platform: Platform): Connector {
  const no = (): never => refuse(`what ${platform.title} is sent`);
  const namespaces = Object.entries(platform.namespaces).map(([name, data]) => [name, { ...data, normalise: no }] as const);
  return {
    ...platform,
    namespaces: Object.fromEntries(namespaces),
    get settings(): never {
      return no();
    },
    get secret(): never {
      return no();
    },
    endpoint: no,
    ensure: no,
    encode: no,
    send: no,
  };
}
