import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as client from 'openid-client'; // npm install openid-client

const mock = spawn(process.argv[2], ['--json', '--until-stdin-closes']);
const webex = JSON.parse((await once(mock.stdout, 'data'))[0]);
const server = {
  issuer: webex.issuers[0],
  authorization_endpoint: webex.authorization_endpoint,
  token_endpoint: webex.token_endpoint,
};
const app = new client.Configuration(server, webex.client_id, webex.client_secret);
client.allowInsecureRequests(app); // the mock uses plain HTTP

const { redirect_uri } = webex;
const request = { redirect_uri, scope: 'spark:all', state: 's' };
const body = JSON.stringify({ url: client.buildAuthorizationUrl(app, request) });
const approved = await fetch(`${webex.control}/approve`, { method: 'POST', body });
const callback = new URL((await approved.json()).callback);
const checks = { expectedState: 's' };
console.log((await client.authorizationCodeGrant(app, callback, checks)).scope);
mock.stdin.end();
