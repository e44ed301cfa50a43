// openid-client, which is certified by the OpenID Foundation. It requires the issuer in the discovery document to match the
// URL of the document and the issuer of ID tokens. Neither is the case at Webex, so an application configures the endpoints.

import * as client from 'openid-client';

import { approve, close, expectError, report, sendCommand, tokenOwner, visit, webex } from './harness.mjs';

const { base, client_id: id, client_secret: secret, redirect_uri: redirectUri, scopes } = webex;

// Plain HTTP to the loopback interface must be allowed explicitly.
let error = await expectError(client.discovery(new URL(base), id, secret));
report('discovery_by_http', { code: error.code });

const http = { execute: [client.allowInsecureRequests] };
error = await expectError(client.discovery(new URL(base), id, secret, undefined, http));
report('discovery', { code: error.code, attribute: error.cause.cause?.attribute ?? error.cause.attribute ?? Object.keys(error.cause) });

function configuration(overrides = {}, authentication = client.ClientSecretBasic(secret)) {
  const server = {
    issuer: webex.issuers[0],
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/access_token`,
    userinfo_endpoint: `${base}/userinfo`,
    jwks_uri: `${base}/verification`,
    ...overrides,
  };
  const config = new client.Configuration(server, id, secret, authentication);
  client.allowInsecureRequests(config);
  return config;
}

const config = configuration();

/** Runs a login up to the callback, and returns the arguments of the code exchange. */
async function authorize(config, scope, browser = approve) {
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    ...(scope.includes('openid') ? { expectedNonce: client.randomNonce(), idTokenExpected: true } : {}),
  };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope,
    state: checks.expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...(checks.expectedNonce ? { nonce: checks.expectedNonce } : {}),
  });
  return [config, new URL(await browser(url.href)), checks];
}

const logIn = async (config, scope, browser) =>
  client.authorizationCodeGrant(...(await authorize(config, scope, browser)));
// Jane has consented before, so the mock does not ask again.
const inputs = { accept: { user: 'jane@example.com', decision: 'accept' }, deny: { user: 'bob@example.com', decision: 'deny' } };
const decide = (decision) => (url) => visit(url, inputs[decision]);

let tokens = await logIn(config, scopes, decide('accept'));
report('login', {
  fields: Object.keys(tokens).sort(),
  lifetimes: [tokens.expires_in, tokens.refresh_token_expires_in],
  type: tokens.token_type,
  scope: tokens.scope,
  user: await tokenOwner(tokens.access_token),
});

tokens = await logIn(configuration({}, client.ClientSecretPost(secret)), scopes);
report('secret_in_body', { user: await tokenOwner(tokens.access_token) });

const newTokens = await client.refreshTokenGrant(config, tokens.refresh_token);
report('refresh', {
  is_new: newTokens.access_token !== tokens.access_token,
  keeps_refresh_token: newTokens.refresh_token === tokens.refresh_token,
  users: [await tokenOwner(newTokens.access_token), await tokenOwner(tokens.access_token)],
});

// The issuer of ID tokens is the identity broker of the user's region, which the application must configure.
tokens = await logIn(config, 'openid email profile');
const claims = tokens.claims();
const userInfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
report('id_token', {
  claims: Object.keys(claims).sort(),
  issuer: claims.iss === webex.issuers[0],
  userinfo: { email: userInfo.email, email_verified: userInfo.email_verified, name: userInfo.name },
});

const discovered = await (await fetch(`${base}/.well-known/openid-configuration`)).json();
error = await expectError(logIn(configuration({ issuer: discovered.issuer }), 'openid'));
report('discovered_issuer', { code: error.code, claim: error.cause.cause?.claim ?? Object.keys(error.cause) });

const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
report('refreshed_id_token', { sub: refreshed.claims().sub === claims.sub, nonce: refreshed.claims().nonce ?? null });

// Signatures are verified only if enabled, with a request to `/verification`.
await sendCommand('fault', { id_token: 'BadSignature' });
await logIn(config, 'openid');
const verifyingConfig = configuration();
client.enableNonRepudiationChecks(verifyingConfig);
await logIn(verifyingConfig, 'openid');
await sendCommand('fault', { id_token: 'BadSignature' });
error = await expectError(logIn(verifyingConfig, 'openid'));
report('BadSignature', { accepted_by_default: true, code: error.code });

for (const name of ['WrongIssuer', 'WrongAudience', 'Expired', 'WrongNonce', 'MissingSubject', 'Unsigned', 'Missing']) {
  await sendCommand('fault', { id_token: name });
  error = await expectError(logIn(config, 'openid'));
  report(name, { code: error.code });
}
// openid-client does not fetch keys again within a minute.
await sendCommand('keys');
error = await expectError(logIn(verifyingConfig, 'openid'));
report('rotated_keys', { code: error.code });
const newConfig = configuration();
client.enableNonRepudiationChecks(newConfig);
for (const name of ['TooManyRequests', 'Unavailable', 'Page']) {
  await sendCommand('fault', { keys: name });
  error = await expectError(logIn(newConfig, 'openid'));
  report(`keys_${name}`, { code: error.code, status: error.cause.status });
}

await sendCommand('fault', { user_info: 'OtherSubject' });
error = await expectError(client.fetchUserInfo(config, tokens.access_token, claims.sub));
report('OtherSubject', { code: error.code });

await sendCommand('fault', { tokens: 'OddTokenType' });
report('OddTokenType', { type: (await client.refreshTokenGrant(config, tokens.refresh_token)).token_type });
await sendCommand('fault', { tokens: 'MissingTokenType' });
error = await expectError(client.refreshTokenGrant(config, tokens.refresh_token));
report('MissingTokenType', { code: error.code });
await sendCommand('fault', { tokens: 'MissingRefreshToken' });
const response = await client.refreshTokenGrant(config, tokens.refresh_token);
report('refresh_without_refresh_token', { refresh_token: response.refresh_token ?? null });

error = await expectError(logIn(config, scopes, decide('deny')));
report('denied', { error: error.error, description: error.error_description });

for (const name of ['OtherState', 'MissingState', 'RepeatedCode', 'WrongIssuer', 'CodeAndError']) {
  await sendCommand('fault', { callback: name });
  const error = await expectError(logIn(config, scopes));
  report(`callback_${name}`, { code: error.code });
}

/** Webex's error responses have no `error`, so they are reported as nonconforming. Returns the details from the cause. */
async function errorReport(promise) {
  const error = await expectError(promise);
  const body = await error.cause.json();
  return { code: error.code, status: error.cause.status, message: body.message, description: body.errors[0].description };
}

const used = await authorize(config, scopes);
await client.authorizationCodeGrant(...used);
report('used_code', await errorReport(client.authorizationCodeGrant(...used)));

const valid = await authorize(config, scopes);
await sendCommand('secret', { client_secret: 'another' });
report('wrong_secret', await errorReport(client.authorizationCodeGrant(...valid)));
await sendCommand('secret', { client_secret: secret });

// The device grant has a separate token endpoint. A pending login (428) is reported as nonconforming and ends the polling.
const deviceConfiguration = () =>
  configuration({ device_authorization_endpoint: `${base}/device/authorize`, token_endpoint: `${base}/device/token` });
const deviceConfig = deviceConfiguration();
/** Starts a device login without a polling interval. */
async function startDeviceLogin(config) {
  const device = await client.initiateDeviceAuthorization(config, { scope: scopes });
  return { ...device, interval: 0 };
}
const device = await startDeviceLogin(deviceConfig);
report('device_without_client_id', await errorReport(client.pollDeviceAuthorizationGrant(deviceConfig, device)));
// Webex requires the client ID in the form as well.
const poll = (config, device) => client.pollDeviceAuthorizationGrant(config, device, { client_id: id });
const pending = await errorReport(poll(deviceConfig, await startDeviceLogin(deviceConfig)));
report('device', { ...pending, polls: (await sendCommand('counts')).device_polls });

await sendCommand('fault', { device_start: 'ZeroInterval' });
error = await expectError(client.initiateDeviceAuthorization(deviceConfig, { scope: scopes }));
report('device_ZeroInterval', { code: error.code });

/** Returns a configuration that adds the standard `error` to error responses. */
function adaptedDeviceConfiguration(onPending) {
  const config = deviceConfiguration();
  config[client.customFetch] = async (...request) => {
    const response = await fetch(...request);
    if (response.ok) return response;
    const body = await response.json();
    if (response.status === 428) await onPending();
    const error = response.status === 428 ? 'authorization_pending' : body.errors[0].description;
    return Response.json({ ...body, error }, { status: 400 });
  };
  return config;
}

async function deviceLogin(decision, title) {
  const device = {};
  const config = adaptedDeviceConfiguration(async () => {
    const page = await visit(device.verification_uri_complete, inputs[decision]);
    device.isConfirmed = page.includes(title);
    await sendCommand('advance', { seconds: 2 });
  });
  Object.assign(device, await startDeviceLogin(config));
  return [device, poll(config, device)];
}

const [accepted, acceptedPoll] = await deviceLogin('accept', 'Your device is signed in');
tokens = await acceptedPoll;
report('device_with_adapter', {
  is_confirmed: accepted.isConfirmed,
  user: await tokenOwner(tokens.access_token),
  polls: (await sendCommand('counts')).device_polls,
});
const [denied, deniedPoll] = await deviceLogin('deny', 'Your device is not signed in');
report('device_denied_with_adapter', { error: (await expectError(deniedPoll)).error, is_confirmed: denied.isConfirmed });

// An invalid refresh token in each error format of Webex, and temporary failures.
const errorFormats = [
  'Documented', 'Numbered', 'Broker', 'BrokerWithUri', 'Gateway', 'Message', 'Upstream', 'StatusName', 'Empty', 'Page',
];
const outcomes = Object.fromEntries(errorFormats.map((name) => [name, { error: 'DeadRefreshToken', shape: name }]));
outcomes.rate_limit = { error: 'TooManyRequests', retry_after: 7 };
outcomes.outage = { status: 503, html: true, retry_after: 7 };
outcomes.captive_portal = { status: 200, html: true };
outcomes.response_lost = { connection: 'lost' };
for (const [name, response] of Object.entries(outcomes)) {
  await sendCommand('answer', { at: 'refresh', ...response });
  const error = await expectError(client.refreshTokenGrant(config, tokens.refresh_token));
  const retryAfter = error.cause.headers?.get('retry-after');
  outcomes[name] = [error.code ?? error.cause.code, ...(error.error ? [error.error] : []), ...(retryAfter ? [retryAfter] : [])];
}
report('error_outcomes', outcomes);

await sendCommand('expire');
report('expired_access_token', { user: await tokenOwner(tokens.access_token) });
await client.refreshTokenGrant(config, tokens.refresh_token);

await sendCommand('revoke');
report('revoked', await errorReport(client.refreshTokenGrant(config, tokens.refresh_token)));

close();
