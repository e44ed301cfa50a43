import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as client from 'openid-client'; // npm install openid-client

const mock = spawn(process.argv[2], ['--json', '--until-stdin-closes']);
const { base, control, ...webex } = JSON.parse((await once(mock.stdout, 'data'))[0]);
const server = { issuer: webex.issuers[0], authorization_endpoint: `${base}/authorize`, token_endpoint: `${base}/access_token` };
const app = new client.Configuration(server, webex.client_id, webex.client_secret);
client.allowInsecureRequests(app); // the mock speaks http

const url = client.buildAuthorizationUrl(app, { redirect_uri: webex.redirect_uri, scope: 'spark:all', state: 's' });
const approved = await fetch(`${control}/approve`, { method: 'POST', body: JSON.stringify({ url }) });
const callback = new URL((await approved.json()).callback);
console.log((await client.authorizationCodeGrant(app, callback, { expectedState: 's' })).scope);
mock.stdin.end();
