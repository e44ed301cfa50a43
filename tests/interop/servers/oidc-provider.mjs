// A certified authorization server, `oidc-provider`, registered with the clients that the tests have.
//
//   CLIENTS               JSON: what oidc-provider calls `clients`
//   SCOPES                separated by spaces
//   ACCESS_TOKEN_SECONDS  how long access tokens live
//   ROTATION              `on` or `off`

import { generateKeyPairSync } from 'node:crypto';

import { Provider } from 'oidc-provider';

import { address, listen, openDesk } from './desk.mjs';

const { CLIENTS, SCOPES, ACCESS_TOKEN_SECONDS, ROTATION } = process.env;

// The server's clock, which a story can set forward.
const rightNow = Date.now;
let ahead = 0;
Date.now = () => rightNow() + ahead;

let answer;
const server = await listen((request, response) => answer(request, response));
const url = address(server);

/** A new key for each algorithm that the clients have their ID tokens signed with. */
function keys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return { keys: [{ ...rsa, use: 'sig' }, { ...ec, use: 'sig' }] };
}

const settings = {
  clients: JSON.parse(CLIENTS),
  scopes: SCOPES.split(' '),
  cookies: { keys: ['a key for the cookies of a test'] },
  pkce: { required: () => true },
  rotateRefreshToken: ROTATION === 'on',
  // By default both hang on the scope `offline_access`, which Webex does not have.
  issueRefreshToken: async () => true,
  expiresWithSession: async () => false,
  ttl: { AccessToken: Number(ACCESS_TOKEN_SECONDS), DeviceCode: 600 },
  features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true }, revocation: { enabled: true } },
  claims: { openid: ['sub', 'auth_time'], email: ['email', 'email_verified'], profile: ['name', 'given_name', 'locale'] },
  findAccount: async (_, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id,
      email: `${id}@example.com`,
      email_verified: true,
      name: `${id} Smith`,
      given_name: id,
      locale: 'en_US',
    }),
  }),
};

// What came to the token endpoint and to the one that ends tokens, and what became of it; values of secrets are left out.
const requests = [];
const revocations = [];
async function record(ctx, next) {
  await next();
  const authorization = ctx.get('authorization');
  const entry = {
    authorization: authorization ? authorization.split(' ')[0] : null,
    fields: Object.keys(ctx.oidc?.body ?? {}).sort(),
    status: ctx.status,
    error: ctx.body?.error ?? null,
    description: ctx.body?.error_description ?? null,
  };
  switch (ctx.oidc?.route) {
    case 'token':
      requests.push({ grant: ctx.oidc.params?.grant_type, ...entry });
      break;
    case 'revocation':
      revocations.push({ hint: ctx.oidc.params?.token_type_hint, ended: kind(ctx.oidc.entities), ...entry });
      break;
  }
}

/** Which kind of token a request was about, by the server's own book. */
function kind(entities) {
  return ['AccessToken', 'RefreshToken'].find((name) => entities[name]) ?? null;
}

let provider;
/** Opens the server, or opens it again with other keys; it then knows nothing of what it issued before. */
function open() {
  provider = new Provider(url, { ...settings, jwks: keys() });
  provider.use(record);
  answer = provider.callback();
}
open();

await openDesk(
  {
    requests: () => requests,
    revocations: () => revocations,
    /** From now on it is later by so many seconds. */
    advance: ({ seconds }) => {
      ahead += seconds * 1000;
      return ahead;
    },
    /** Signs with new keys from now on, and publishes no others. */
    rotate: open,
    /** Whether the server still honours a token, by its own book. */
    honours: async ({ token }) => {
      const found = (await provider.AccessToken.find(token)) ?? (await provider.RefreshToken.find(token));
      return Boolean(found?.isValid);
    },
  },
  url,
);
