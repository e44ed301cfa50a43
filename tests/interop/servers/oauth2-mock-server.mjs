// `oauth2-mock-server` as a fault injector: its hooks spoil the redirect and the answers of the token endpoint, of userinfo, and
// of the endpoint that ends tokens, as the test orders.

import { randomUUID } from 'node:crypto';

import { OAuth2Server } from 'oauth2-mock-server';

import { openDesk } from './desk.mjs';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
const url = `http://127.0.0.1:${server.address().port}`;
server.issuer.url = url;

let fault = {};
let detour = {};
let lie = {};
let grudge = {};
let gossip = {};
let revocations = 0;
const requests = [];

server.service.on('beforeTokenSigning', ({ header, payload }) => {
  // Without it, two tokens of one second are the same.
  payload.jti = randomUUID();
  // The access tokens of this server are for nobody in particular.
  if (!payload.aud) return;
  const { claims = {}, without = [], kid } = lie;
  Object.assign(payload, claims);
  for (const name of without) delete payload[name];
  for (const [name, seconds] of Object.entries(lie.later ?? {})) payload[name] = (payload.iat ?? 0) + seconds;
  if (kid) header.kid = kid;
});

/** Says of a token that it is signed in another way, and takes its signature away. */
function unsigned(token, alg) {
  const [header, payload] = token.split('.');
  const fields = JSON.parse(Buffer.from(header, 'base64url'));
  return `${Buffer.from(JSON.stringify({ ...fields, alg })).toString('base64url')}.${payload}.`;
}

server.service.on('beforeResponse', (answer, request) => {
  requests.push(request.body.grant_type);
  const { status, headers = {}, text, body = {}, without = [] } = fault;
  const { res } = request;
  if (lie.unsigned) answer.body.id_token = unsigned(answer.body.id_token, lie.unsigned);
  if (status) answer.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  if (text !== undefined) {
    // The server means to send JSON; this is the place where a proxy would put its own page.
    res.json = () => res.end(text);
    return;
  }
  Object.assign(answer.body, body);
  for (const name of without) delete answer.body[name];
  if (fault.only) answer.body = fault.only;
});

server.service.on('beforeUserinfo', (answer, { res }) => {
  const { status, headers = {}, text, body = {}, without = [] } = gossip;
  if (status) answer.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  // As at the token endpoint.
  if (text !== undefined) res.json = () => res.end(text);
  Object.assign(answer.body, body);
  for (const name of without) delete answer.body[name];
});

server.service.on('beforeRevoke', (answer, { res }) => {
  revocations += 1;
  const { status, headers = {}, text } = grudge;
  if (status) answer.statusCode = status;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  // The server means to send nothing.
  if (text !== undefined) res.send = () => res.end(text);
});

server.service.on('beforeAuthorizeRedirect', ({ url }) => {
  const { without = [], change = {}, append = {} } = detour;
  for (const name of without) url.searchParams.delete(name);
  for (const [name, value] of Object.entries(change)) url.searchParams.set(name, value);
  for (const [name, value] of Object.entries(append)) url.searchParams.append(name, value);
});

await openDesk(
  {
    /** What is wrong with every answer of the token endpoint from now on; `{}` is nothing. */
    fault: (order) => {
      fault = order;
    },
    /** What is wrong with every ID token from now on. */
    lie: (order) => {
      lie = order;
    },
    /** What is wrong with every redirect from now on. */
    detour: (order) => {
      detour = order;
    },
    /** What is wrong with every answer of the revocation endpoint from now on. */
    grudge: (order) => {
      grudge = order;
    },
    /** What is wrong with every answer of userinfo from now on. */
    gossip: (order) => {
      gossip = order;
    },
    requests: () => requests,
    revocations: () => revocations,
  },
  url,
);
