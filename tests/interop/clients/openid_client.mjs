// openid-client, which is certified by the OpenID Foundation. It wants the discovery document's issuer where it was asked for,
// and an ID token's issuer to be that one: Webex has neither, so that an application writes its configuration itself.

import * as client from 'openid-client';

import { approve, caught, end, order, tell, visit, webex, who } from './telling.mjs';

const { base, client_id: id, client_secret: secret, redirect_uri: redirectUri, scopes } = webex;

// It takes http for loopback only when it is told to.
let error = await caught(client.discovery(new URL(base), id, secret));
tell('discovery_by_http', { code: error.code });

const http = { execute: [client.allowInsecureRequests] };
error = await caught(client.discovery(new URL(base), id, secret, undefined, http));
tell('discovery', { code: error.code, attribute: error.cause.cause?.attribute ?? error.cause.attribute ?? Object.keys(error.cause) });

function configuration(change = {}, authentication = client.ClientSecretBasic(secret)) {
  const server = {
    issuer: webex.issuers[0],
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/access_token`,
    userinfo_endpoint: `${base}/userinfo`,
    jwks_uri: `${base}/verification`,
    ...change,
  };
  const configured = new client.Configuration(server, id, secret, authentication);
  client.allowInsecureRequests(configured);
  return configured;
}

const config = configuration();

/** Up to the callback; gives what the exchange takes. */
async function begin(own, scope, browser = approve) {
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    ...(scope.includes('openid') ? { expectedNonce: client.randomNonce(), idTokenExpected: true } : {}),
  };
  const url = client.buildAuthorizationUrl(own, {
    redirect_uri: redirectUri,
    scope,
    state: checks.expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...(checks.expectedNonce ? { nonce: checks.expectedNonce } : {}),
  });
  return [own, new URL(await browser(url.href)), checks];
}

const login = async (own, scope, browser) => client.authorizationCodeGrant(...(await begin(own, scope, browser)));
// Jane has consented before, and is not asked again.
const answers = { accept: { user: 'jane@example.com', decision: 'accept' }, deny: { user: 'bob@example.com', decision: 'deny' } };
const answering = (decision) => (url) => visit(url, answers[decision]);

let tokens = await login(config, scopes, answering('accept'));
tell('login', {
  fields: Object.keys(tokens).sort(),
  lives: [tokens.expires_in, tokens.refresh_token_expires_in],
  type: tokens.token_type,
  scope: tokens.scope,
  who: await who(tokens.access_token),
});

tokens = await login(configuration({}, client.ClientSecretPost(secret)), scopes);
tell('secret_in_the_form', { who: await who(tokens.access_token) });

const renewed = await client.refreshTokenGrant(config, tokens.refresh_token);
tell('refresh', {
  is_new: renewed.access_token !== tokens.access_token,
  keeps_refresh_token: renewed.refresh_token === tokens.refresh_token,
  who: [await who(renewed.access_token), await who(tokens.access_token)],
});

// OpenID Connect: the issuer is the broker of the user's home, which the application has to know.
tokens = await login(config, 'openid email profile');
const claims = tokens.claims();
const told = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
tell('id_token', {
  claims: Object.keys(claims).sort(),
  issuer: claims.iss === webex.issuers[0],
  userinfo: { email: told.email, email_verified: told.email_verified, name: told.name },
});

const discovered = await (await fetch(`${base}/.well-known/openid-configuration`)).json();
error = await caught(login(configuration({ issuer: discovered.issuer }), 'openid'));
tell('discovered_issuer', { code: error.code, claim: error.cause.cause?.claim ?? Object.keys(error.cause) });

const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
tell('refreshed_id_token', { sub: refreshed.claims().sub === claims.sub, nonce: refreshed.claims().nonce ?? null });

// A signature is looked at when that is asked for, by a request to `/verification`.
await order('fault', { id_token: 'BadSignature' });
await login(config, 'openid');
const suspicious = configuration();
client.enableNonRepudiationChecks(suspicious);
await login(suspicious, 'openid');
await order('fault', { id_token: 'BadSignature' });
error = await caught(login(suspicious, 'openid'));
tell('BadSignature', { taken_by_default: true, code: error.code });

for (const name of ['WrongIssuer', 'WrongAudience', 'Expired', 'WrongNonce', 'MissingSubject', 'Unsigned', 'Missing']) {
  await order('fault', { id_token: name });
  error = await caught(login(config, 'openid'));
  tell(name, { code: error.code });
}
// A rotation within a minute of the last look at the keys is too early for it.
await order('keys');
error = await caught(login(suspicious, 'openid'));
tell('rotated_keys', { code: error.code });
const fresh = configuration();
client.enableNonRepudiationChecks(fresh);
for (const name of ['TooManyRequests', 'Unavailable', 'Page']) {
  await order('fault', { keys: name });
  error = await caught(login(fresh, 'openid'));
  tell(`keys_${name}`, { code: error.code, status: error.cause.status });
}

await order('fault', { user_info: 'OtherSubject' });
error = await caught(client.fetchUserInfo(config, tokens.access_token, claims.sub));
tell('OtherSubject', { code: error.code });

await order('fault', { tokens: 'OddTokenType' });
tell('OddTokenType', { type: (await client.refreshTokenGrant(config, tokens.refresh_token)).token_type });
await order('fault', { tokens: 'MissingTokenType' });
error = await caught(client.refreshTokenGrant(config, tokens.refresh_token));
tell('MissingTokenType', { code: error.code });
await order('fault', { tokens: 'MissingRefreshToken' });
const without = await client.refreshTokenGrant(config, tokens.refresh_token);
tell('refresh_without_refresh_token', { brings: without.refresh_token ?? null });

error = await caught(login(config, scopes, answering('deny')));
tell('denied', { error: error.error, description: error.error_description });

for (const name of ['OtherState', 'MissingState', 'RepeatedCode', 'WrongIssuer', 'CodeAndError']) {
  await order('fault', { callback: name });
  const error = await caught(login(config, scopes));
  tell(`callback_${name}`, { code: error.code });
}

/** Webex's refusals have no `error`: to it they are answers that do not conform, whose words the application can still read. */
async function refusal(promise) {
  const error = await caught(promise);
  const body = await error.cause.json();
  return { code: error.code, status: error.cause.status, says: body.message, about: body.errors[0].description };
}

const spent = await begin(config, scopes);
await client.authorizationCodeGrant(...spent);
tell('spent_code', await refusal(client.authorizationCodeGrant(...spent)));

const good = await begin(config, scopes);
await order('secret', { client_secret: 'another' });
tell('wrong_secret', await refusal(client.authorizationCodeGrant(...good)));
await order('secret', { client_secret: secret });

// The device grant has a token endpoint of its own; a wait (428) is no answer that conforms, and ends the login.
const device = () =>
  configuration({ device_authorization_endpoint: `${base}/device/authorize`, token_endpoint: `${base}/device/token` });
const impatient = device();
/** Begins a login. Where it would wait, Webex's clock goes on instead. */
async function start(configured) {
  const started = await client.initiateDeviceAuthorization(configured, { scope: scopes });
  return { ...started, interval: 0 };
}
const bare = await refusal(client.pollDeviceAuthorizationGrant(impatient, await start(impatient)));
tell('device_without_client_id', bare);
// Webex wants the client id in the form as well.
const poll = (configured, started) => client.pollDeviceAuthorizationGrant(configured, started, { client_id: id });
const waited = await refusal(poll(impatient, await start(impatient)));
tell('device', { ...waited, polls: (await order('counts')).device_polls });

await order('fault', { device_start: 'ZeroInterval' });
error = await caught(client.initiateDeviceAuthorization(impatient, { scope: scopes }));
tell('device_ZeroInterval', { code: error.code });

/** What an application has to do about it: to say `error` where Webex says it with a status, or in other words. */
function patient(onWait) {
  const configured = device();
  configured[client.customFetch] = async (...request) => {
    const answer = await fetch(...request);
    if (answer.ok) return answer;
    const body = await answer.json();
    if (answer.status === 428) await onWait();
    const error = answer.status === 428 ? 'authorization_pending' : body.errors[0].description;
    return Response.json({ ...body, error }, { status: 400 });
  };
  return configured;
}

async function deviceLogin(decision, title) {
  const begun = {};
  const configured = patient(async () => {
    const page = await visit(begun.verification_uri_complete, answers[decision]);
    begun.page = page.includes(title);
    await order('advance', { seconds: 2 });
  });
  Object.assign(begun, await start(configured));
  return [begun, poll(configured, begun)];
}

const [begun, polled] = await deviceLogin('accept', 'Your device is signed in');
tokens = await polled;
tell('device_with_help', { page: begun.page, who: await who(tokens.access_token), polls: (await order('counts')).device_polls });
const [declined, refused] = await deviceLogin('deny', 'Your device is not signed in');
tell('device_denied_with_help', { error: (await caught(refused)).error, page: declined.page });

// Every shape in which Webex writes an error, for a dead refresh token; and what passes.
const shapes = [
  'Documented', 'Numbered', 'Broker', 'BrokerWithUri', 'Gateway', 'Message', 'Upstream', 'StatusName', 'Empty', 'Page',
];
const bad = Object.fromEntries(shapes.map((shape) => [shape, { error: 'DeadRefreshToken', shape }]));
bad.rate_limit = { error: 'TooManyRequests', retry_after: 7 };
bad.outage = { status: 503, html: true, retry_after: 7 };
bad.portal = { status: 200, html: true };
bad.lost = { connection: 'lost' };
for (const [name, answer] of Object.entries(bad)) {
  await order('answer', { at: 'refresh', ...answer });
  const error = await caught(client.refreshTokenGrant(config, tokens.refresh_token));
  const retryAfter = error.cause.headers?.get('retry-after');
  bad[name] = [error.code ?? error.cause.code, ...(error.error ? [error.error] : []), ...(retryAfter ? [retryAfter] : [])];
}
tell('bad_answers', bad);

await order('expire');
tell('expired_access_token', { who: await who(tokens.access_token) });
await client.refreshTokenGrant(config, tokens.refresh_token);

await order('revoke');
tell('revoked', await refusal(client.refreshTokenGrant(config, tokens.refresh_token)));

end();
