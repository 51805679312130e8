import { hubspot } from '../../connectors/hubspot.ts';
import { hubspot as standIn } from '../../sandbox/hubspot.ts';
import { connectorContract } from '../contracts/connector.ts';

connectorContract({
  connector: hubspot,
  standIn,
  settings: {},
  identifiers: ['external_id', 'email'],
  wrongSecret: { access_token: 'pat-wrong-token' },
  traits: { firstname: 'Canary', jobtitle: 'gold', zip: 3, city: null },
  poison: (person) => ({
    ...person,
    identifiers: [...person.identifiers.slice(0, 1), { namespace: 'email', value: 'canary at example' }],
  }),
  exceptions: [
    { rule: 'terms not accepted break the destination, with a way out', because: 'HubSpot has no terms to accept by API' },
  ],
});
