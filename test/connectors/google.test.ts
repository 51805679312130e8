import { google } from '../../connectors/google.ts';
import { google as standIn } from '../../sandbox/google.ts';
import { connectorContract } from '../contracts/connector.ts';

const settings = {
  operating_account_id: '123-456-7890',
  login_account_id: '9876543210',
  customer_match_terms: 'accepted',
  consent_covers: ['ad_user_data', 'ad_personalization'],
  list_prefix: 'sluice ',
  mobile_app: { app_id: 'com.example.shop', key_space: 'ANDROID' },
};
const wrongSecret = { ...standIn.secret, refresh_token: 'expired-google-refresh-token' };

connectorContract({
  connector: google,
  standIn,
  settings,
  wrongSecret,
  poison: (person) => ({ ...person, identifiers: [{ namespace: 'email', value: 'not-a-hash' }] }),
});
