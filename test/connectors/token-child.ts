import { createHttp } from '../../connectors/http.ts';
import { accessToken, tokenRefused, type TokenRequest } from '../../connectors/oauth.ts';
import { openLocalStore } from '../../stores/local.ts';
import { systemClock } from '../../stores/system-clock.ts';

/** One of several workers of a destination: `node token-child.ts <root> <url> <refresh token> [refused token]`. Says its token on stdout. */
const [root = '', url = '', refresh_token = '', refused] = process.argv.slice(2);

const store = await openLocalStore({ root, clock: systemClock });
const http = createHttp({ endpoint: url });
const context = { http, now: Date.now, tokens: store.tokens };
const grant = { client_id: 'app', refresh_token };
const request: TokenRequest = {
  platform: 'Acme',
  url,
  grant,
  form: () => ({ grant_type: 'refresh_token', ...grant }),
  wayOut: 'Connect again.',
};
let token = await accessToken(context, request);
if (token.accessToken === refused) {
  await tokenRefused(context, request, token);
  token = await accessToken(context, request);
}
console.log(token.accessToken);
await http.close();
await store.close();
