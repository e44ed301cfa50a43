// The certified authorization server `oidc-provider`.
//
//   CLIENTS               the setting `clients` of oidc-provider, as JSON
//   SCOPES                separated by spaces
//   ACCESS_TOKEN_SECONDS  lifetime of access tokens
//   ROTATION              `on` or `off`

import { generateKeyPairSync } from 'node:crypto';

import { Provider } from 'oidc-provider';

import { baseUrl, listen, serveCommands } from './control.mjs';

const { CLIENTS, SCOPES, ACCESS_TOKEN_SECONDS, ROTATION } = process.env;

// The offset of the server's clock, which a control command changes.
const systemNow = Date.now;
let clockOffset = 0;
Date.now = () => systemNow() + clockOffset;

let handler;
const server = await listen((request, response) => handler(request, response));
const url = baseUrl(server);

/** Generates a key for each signature algorithm of the clients. */
function generateKeys() {
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
  // By default, both depend on the scope `offline_access`, which Webex does not have.
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

// The requests to the token and revocation endpoints with their results, without secrets.
const tokenRequests = [];
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
      tokenRequests.push({ grant: ctx.oidc.params?.grant_type, ...entry });
      break;
    case 'revocation':
      revocations.push({ hint: ctx.oidc.params?.token_type_hint, token_kind: tokenKind(ctx.oidc.entities), ...entry });
      break;
  }
}

/** Returns the kind of the token that the server has found for a request. */
function tokenKind(entities) {
  return ['AccessToken', 'RefreshToken'].find((name) => entities[name]) ?? null;
}

let provider;
/** Starts or restarts the provider with new keys. After a restart, all earlier tokens are unknown. */
function startProvider() {
  provider = new Provider(url, { ...settings, jwks: generateKeys() });
  provider.use(record);
  handler = provider.callback();
}
startProvider();

await serveCommands(
  {
    token_requests: () => tokenRequests,
    revocations: () => revocations,
    /** Advances the server's clock. */
    advance: ({ seconds }) => {
      clockOffset += seconds * 1000;
      return clockOffset;
    },
    /** Replaces the signing keys. */
    rotate_keys: startProvider,
    /** Returns `true` if a token is valid. */
    is_token_valid: async ({ token }) => {
      const found = (await provider.AccessToken.find(token)) ?? (await provider.RefreshToken.find(token));
      return Boolean(found?.isValid);
    },
  },
  url,
);
