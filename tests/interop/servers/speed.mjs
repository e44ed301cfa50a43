// How many refreshes a second the servers that tests use can answer, over 16 connections of one process that does nothing else:
//
//   cargo build --release --example mock_webex
//   node tests/interop/servers/speed.mjs target/release/examples/mock_webex
//
// Each has short turns, one after the other, so that a busy machine is fair to all; the best turn and the middle one are told.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const [program, seconds = 20] = process.argv.slice(2);
const TURN_MS = 500;
const CONNECTIONS = 16;

/** Starts a process that says in a line of JSON where it is, and ends with this one. */
async function start(command, ...parameters) {
  const child = spawn(command, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  return JSON.parse(line);
}

/** A refresh, as the bytes of a request. */
function request(endpoint, form) {
  const body = new URLSearchParams({ grant_type: 'refresh_token', ...form }).toString();
  const { host, pathname } = new URL(endpoint);
  const head = `POST ${pathname} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/x-www-form-urlencoded\r\n`;
  return `${head}content-length: ${body.length}\r\n\r\n${body}`;
}

/** The length of the answer at the beginning of a text, if it is all there. */
function whole(text) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`refused: ${text}`);
  const length = end + 4 + Number(/^content-length: *(\d+)/im.exec(head)[1]);
  return text.length < length ? undefined : length;
}

/** Asks again and again until a time; resolves to how often it was answered. */
async function ask({ endpoint, bytes }, until) {
  const { hostname, port } = new URL(endpoint);
  const socket = connect(Number(port), hostname).setNoDelay(true).setEncoding('latin1');
  await once(socket, 'connect');
  return new Promise((resolve, reject) => {
    let [answers, text] = [0, ''];
    socket.on('error', reject).on('close', () => reject(new Error(`${endpoint} has hung up`)));
    socket.on('data', (chunk) => {
      text += chunk;
      const length = whole(text);
      if (length === undefined) return;
      if (!text.includes('"access_token"')) reject(new Error(`no tokens: ${text}`));
      text = text.slice(length);
      answers += 1;
      if (performance.now() < until) return void socket.write(bytes);
      socket.removeAllListeners('close').destroy();
      resolve(answers);
    });
    socket.write(bytes);
  });
}

async function turn(contender) {
  const begun = performance.now();
  const all = Array.from({ length: CONNECTIONS }, () => ask(contender, begun + TURN_MS));
  const answers = (await Promise.all(all)).reduce((sum, own) => sum + own);
  return (answers * 1000) / (performance.now() - begun);
}

/** A user's login at the mock, with these scopes. */
async function mock(name, scope) {
  const webex = await start(program, '--json', '--until-stdin-closes');
  const client = { client_id: webex.client_id, client_secret: webex.client_secret };
  const { redirect_uri } = webex;
  const query = new URLSearchParams({ response_type: 'code', client_id: client.client_id, redirect_uri, scope, nonce: 'n' });
  const order = { method: 'POST', body: JSON.stringify({ url: `${webex.base}/authorize?${query}` }) };
  const { callback } = await (await fetch(`${webex.control}/approve`, order)).json();
  const endpoint = `${webex.base}/access_token`;
  const exchange = { grant_type: 'authorization_code', code: new URL(callback).searchParams.get('code'), redirect_uri };
  const answer = await fetch(endpoint, { method: 'POST', body: new URLSearchParams({ ...client, ...exchange }) });
  const { refresh_token } = await answer.json();
  return { name, endpoint, bytes: request(endpoint, { ...client, refresh_token }), turns: [] };
}

async function other() {
  const script = fileURLToPath(new URL('oauth2-mock-server.mjs', import.meta.url));
  const { url } = await start(process.execPath, '--no-warnings', script);
  const endpoint = `${url}/token`;
  const form = { client_id: 'C1', client_secret: 's', refresh_token: 'r' };
  return { name: 'oauth2-mock-server, two signed tokens', endpoint, bytes: request(endpoint, form), turns: [] };
}

const FLOOR = `
  const body = JSON.stringify({ access_token: 'a'.repeat(300) });
  const server = require('node:http').createServer((request, response) => {
    request.on('data', () => {}).on('end', () => response.setHeader('content-length', body.length).end(body));
  });
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: 'http://127.0.0.1:' + server.address().port })));
  process.stdin.resume().on('end', () => process.exit(0));
`;

async function floor() {
  const { url } = await start(process.execPath, '--eval', FLOOR);
  return { name: "Node's own server, the same text each time", endpoint: `${url}/`, bytes: request(url, {}), turns: [] };
}

const contenders = [
  await floor(),
  await mock('MockWebex', 'spark:all'),
  await mock('MockWebex, a signed ID token', 'openid'),
  await other(),
];
for (const contender of contenders) await turn(contender);
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  for (const contender of contenders) contender.turns.push(await turn(contender));
}
console.log(`${contenders[0].turns.length} turns of ${TURN_MS} ms each, over ${CONNECTIONS} connections\n`);
console.log('| refreshes a second | best turn | middle turn |\n|---|---:|---:|');
for (const { name, turns } of contenders) {
  turns.sort((a, b) => a - b);
  console.log(`| ${name} | ${Math.round(turns.at(-1))} | ${Math.round(turns[turns.length >> 1])} |`);
}
const [, , own, another] = contenders.map(({ turns }) => turns.at(-1));
console.log(`\nratio: ${(own / another).toFixed(2)} (MockWebex with a signed ID token to oauth2-mock-server, best turns)`);
process.exit(0);
