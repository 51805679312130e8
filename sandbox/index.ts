import type { StandIn } from './stand-in.ts';
import { braze } from './braze.ts';
import { google } from './google.ts';
import { hubspot } from './hubspot.ts';
import { klaviyo } from './klaviyo.ts';
import { meta } from './meta.ts';
import { salesforce } from './salesforce.ts';
import { segment } from './segment.ts';
import { webhook } from './webhook.ts';

/** Every platform that has a stand-in, by the name of its connector. A line a platform; a test holds the folder to it. */
export const standIns: Readonly<Record<string, StandIn>> = {
  braze,
  google,
  hubspot,
  klaviyo,
  meta,
  salesforce,
  segment,
  webhook,
};

export { startSandbox } from './server.ts';
