// npm install openid-client
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as client from 'openid-client';

const mock = spawn(process.argv[2], ['--json', '--until-stdin-closes'], { stdio: ['pipe', 'pipe', 'inherit'] });
const webex = JSON.parse((await once(mock.stdout, 'data'))[0]);
const server = { issuer: webex.issuers[0], authorization_endpoint: `${webex.base}/authorize`, token_endpoint: `${webex.base}/access_token` };
const app = new client.Configuration(server, webex.client_id, webex.client_secret);
client.allowInsecureRequests(app);
const { href: url } = client.buildAuthorizationUrl(app, { redirect_uri: webex.redirect_uri, scope: 'spark:all', state: 'random' });
const approved = await fetch(`${webex.control}/approve`, { method: 'POST', body: JSON.stringify({ url }) });
const tokens = await client.authorizationCodeGrant(app, new URL((await approved.json()).callback), { expectedState: 'random' });
console.log(tokens.scope);
mock.stdin.end();
