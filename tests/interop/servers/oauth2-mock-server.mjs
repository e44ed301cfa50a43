// `oauth2-mock-server` with fault injection: control commands change redirects, ID tokens, and the responses of the token,
// userinfo, and revocation endpoints.

import { randomUUID } from 'node:crypto';

import { OAuth2Server } from 'oauth2-mock-server';

import { serveCommands } from './control.mjs';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
const url = `http://127.0.0.1:${server.address().port}`;
server.issuer.url = url;

let tokenFault = {};
let callbackFault = {};
let idTokenFault = {};
let revocationFault = {};
let userInfoFault = {};
let revocationCount = 0;
const tokenRequests = [];

server.service.on('beforeTokenSigning', ({ header, payload }) => {
  // Otherwise, two tokens that are issued within a second are equal.
  payload.jti = randomUUID();
  // Only ID tokens have an audience.
  if (!payload.aud) return;
  const { claims = {}, without = [], kid } = idTokenFault;
  Object.assign(payload, claims);
  for (const name of without) delete payload[name];
  for (const [name, seconds] of Object.entries(idTokenFault.later ?? {})) payload[name] = (payload.iat ?? 0) + seconds;
  if (kid) header.kid = kid;
});

/** Replaces the algorithm of a token and removes its signature. */
function removeSignature(token, alg) {
  const [header, payload] = token.split('.');
  const fields = JSON.parse(Buffer.from(header, 'base64url'));
  return `${Buffer.from(JSON.stringify({ ...fields, alg })).toString('base64url')}.${payload}.`;
}

server.service.on('beforeResponse', (response, request) => {
  tokenRequests.push(request.body.grant_type);
  const { status, headers = {}, text, body = {}, without = [] } = tokenFault;
  const { res } = request;
  if (idTokenFault.unsigned) response.body.id_token = removeSignature(response.body.id_token, idTokenFault.unsigned);
  if (status) response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  if (text !== undefined) {
    // The server would send JSON. A proxy would replace it with its own page.
    res.json = () => res.end(text);
    return;
  }
  Object.assign(response.body, body);
  for (const name of without) delete response.body[name];
  if (tokenFault.only) response.body = tokenFault.only;
});

server.service.on('beforeUserinfo', (response, { res }) => {
  const { status, headers = {}, text, body = {}, without = [] } = userInfoFault;
  if (status) response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  // Replaces the JSON, as for the token endpoint.
  if (text !== undefined) res.json = () => res.end(text);
  Object.assign(response.body, body);
  for (const name of without) delete response.body[name];
});

server.service.on('beforeRevoke', (response, { res }) => {
  revocationCount += 1;
  const { status, headers = {}, text } = revocationFault;
  if (status) response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  // The server would send an empty body.
  if (text !== undefined) res.send = () => res.end(text);
});

server.service.on('beforeAuthorizeRedirect', ({ url }) => {
  const { without = [], change = {}, append = {} } = callbackFault;
  for (const name of without) url.searchParams.delete(name);
  for (const [name, value] of Object.entries(change)) url.searchParams.set(name, value);
  for (const [name, value] of Object.entries(append)) url.searchParams.append(name, value);
});

await serveCommands(
  {
    /** Sets the fault of all later token responses. `{}` is no fault. */
    token_fault: (fault) => {
      tokenFault = fault;
    },
    /** Sets the fault of all later ID tokens. */
    id_token_fault: (fault) => {
      idTokenFault = fault;
    },
    /** Sets the fault of all later redirects to the application. */
    callback_fault: (fault) => {
      callbackFault = fault;
    },
    /** Sets the fault of all later revocation responses. */
    revocation_fault: (fault) => {
      revocationFault = fault;
    },
    /** Sets the fault of all later userinfo responses. */
    user_info_fault: (fault) => {
      userInfoFault = fault;
    },
    token_requests: () => tokenRequests,
    revocation_count: () => revocationCount,
  },
  url,
);
