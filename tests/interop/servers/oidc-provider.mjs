// A certified authorization server, `oidc-provider`, registered with the clients that the tests have.
//
//   CLIENTS               JSON: what oidc-provider calls `clients`
//   SCOPES                separated by spaces
//   ACCESS_TOKEN_SECONDS  how long access tokens live
//   ROTATION              `on` or `off`

import { Provider } from 'oidc-provider';

import { address, listen, openDesk } from './desk.mjs';

const { CLIENTS, SCOPES, ACCESS_TOKEN_SECONDS, ROTATION } = process.env;

let answer;
const server = await listen((request, response) => answer(request, response));
const url = address(server);
const provider = new Provider(url, {
  clients: JSON.parse(CLIENTS),
  scopes: SCOPES.split(' '),
  cookies: { keys: ['a key for the cookies of a test'] },
  pkce: { required: () => true },
  rotateRefreshToken: ROTATION === 'on',
  // By default both hang on the scope `offline_access`, which Webex does not have.
  issueRefreshToken: async () => true,
  expiresWithSession: async () => false,
  ttl: { AccessToken: Number(ACCESS_TOKEN_SECONDS) },
  features: { devInteractions: { enabled: true } },
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
});

// What came to the token endpoint, and what became of it; values of secrets are left out.
const requests = [];
provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route !== 'token') return;
  const authorization = ctx.get('authorization');
  requests.push({
    grant: ctx.oidc.params?.grant_type,
    authorization: authorization ? authorization.split(' ')[0] : null,
    fields: Object.keys(ctx.oidc.body ?? {}).sort(),
    status: ctx.status,
    error: ctx.body?.error ?? null,
    description: ctx.body?.error_description ?? null,
  });
});
answer = provider.callback();

await openDesk(
  {
    requests: () => requests,
    /** Whether the server still honours a token, by its own book. */
    honours: async ({ token }) => {
      const found = (await provider.AccessToken.find(token)) ?? (await provider.RefreshToken.find(token));
      return Boolean(found?.isValid);
    },
  },
  url,
);
