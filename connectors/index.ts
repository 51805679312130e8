import type { Connector } from '../core/connector.ts';
import { braze } from './braze.ts';
import { files } from './files.ts';
import { google } from './google.ts';
import { hubspot } from './hubspot.ts';
import { klaviyo } from './klaviyo.ts';
import { meta } from './meta.ts';
import { salesforce } from './salesforce.ts';
import { segment } from './segment.ts';
import { webhook } from './webhook.ts';

/** The registry knows no platform's settings: each connector's own schema has checked them before they come back to it. */
const entry = <Settings, Secret>(connector: Connector<Settings, Secret>): Connector => connector as unknown as Connector;

/** Every platform Sluice speaks to, by the name that `connector:` in a destination file has. A line each; a test holds the folder to it. */
export const connectors: Readonly<Record<string, Connector>> = {
  braze: entry(braze),
  files: entry(files),
  google: entry(google),
  hubspot: entry(hubspot),
  klaviyo: entry(klaviyo),
  meta: entry(meta),
  salesforce: entry(salesforce),
  segment: entry(segment),
  webhook: entry(webhook),
};
