// `oauth2-mock-server` as a fault injector: its hooks spoil the redirect and the token endpoint's answer as the test orders.

import { randomUUID } from 'node:crypto';

import { OAuth2Server } from 'oauth2-mock-server';

import { openDesk } from './desk.mjs';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');

let fault = {};
let detour = {};
const requests = [];

// Without it, two tokens of one second are the same.
server.service.on('beforeTokenSigning', ({ payload }) => {
  payload.jti = randomUUID();
});

server.service.on('beforeResponse', (answer, request) => {
  requests.push(request.body.grant_type);
  const { status, headers = {}, text, body = {}, without = [] } = fault;
  const { res } = request;
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
    /** What is wrong with every redirect from now on. */
    detour: (order) => {
      detour = order;
    },
    requests: () => requests,
  },
  `http://127.0.0.1:${server.address().port}`,
);
