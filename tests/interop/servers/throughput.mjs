// Measures the refreshes per second of mock servers, over 16 connections of one client process:
//
//   cargo build --release --manifest-path examples/mock_webex/Cargo.toml
//   node tests/interop/servers/throughput.mjs examples/mock_webex/target/release/mock_webex
//
// The servers take short turns, so that the load of the host affects all of them. The best and the median turn are reported.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const [program, seconds = 20] = process.argv.slice(2);
const TURN_MS = 500;
const CONNECTIONS = 16;

/** Starts a process that ends with this one, and returns the JSON that it prints first. */
async function startProcess(command, ...parameters) {
  const child = spawn(command, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  return JSON.parse(line);
}

/** Returns a token request in its HTTP/1.1 form. */
function formatRequest(endpoint, form) {
  const body = new URLSearchParams({ grant_type: 'refresh_token', ...form }).toString();
  const { host, pathname } = new URL(endpoint);
  const head = `POST ${pathname} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/x-www-form-urlencoded\r\n`;
  return `${head}content-length: ${body.length}\r\n\r\n${body}`;
}

/** Returns the length of the first response in a string, or `undefined` if it is incomplete. */
function responseLength(text) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`unexpected response: ${text}`);
  const length = end + 4 + Number(/^content-length: *(\d+)/im.exec(head)[1]);
  return text.length < length ? undefined : length;
}

/** Sends requests until `end`, and returns the number of responses. */
async function sendRequests({ endpoint, bytes }, end) {
  const { hostname, port } = new URL(endpoint);
  const socket = connect(Number(port), hostname).setNoDelay(true).setEncoding('latin1');
  await once(socket, 'connect');
  return new Promise((resolve, reject) => {
    let [count, text] = [0, ''];
    socket.on('error', reject).on('close', () => reject(new Error(`${endpoint} closed the connection`)));
    socket.on('data', (chunk) => {
      text += chunk;
      const length = responseLength(text);
      if (length === undefined) return;
      if (!text.includes('"access_token"')) reject(new Error(`no tokens: ${text}`));
      text = text.slice(length);
      count += 1;
      if (performance.now() < end) return void socket.write(bytes);
      socket.removeAllListeners('close').destroy();
      resolve(count);
    });
    socket.write(bytes);
  });
}

/** Runs a turn and returns the number of refreshes per second. */
async function runTurn(server) {
  const start = performance.now();
  const connections = Array.from({ length: CONNECTIONS }, () => sendRequests(server, start + TURN_MS));
  const count = (await Promise.all(connections)).reduce((sum, own) => sum + own);
  return (count * 1000) / (performance.now() - start);
}

/** Starts the mock and logs a user in with these scopes. */
async function startMock(name, scope) {
  const webex = await startProcess(program, '--json', '--until-stdin-closes');
  const client = { client_id: webex.client_id, client_secret: webex.client_secret };
  const { redirect_uri } = webex;
  const query = new URLSearchParams({ response_type: 'code', client_id: client.client_id, redirect_uri, scope, nonce: 'n' });
  const command = { method: 'POST', body: JSON.stringify({ url: `${webex.base}/authorize?${query}` }) };
  const { callback } = await (await fetch(`${webex.control}/approve`, command)).json();
  const endpoint = `${webex.base}/access_token`;
  const exchange = { grant_type: 'authorization_code', code: new URL(callback).searchParams.get('code'), redirect_uri };
  const response = await fetch(endpoint, { method: 'POST', body: new URLSearchParams({ ...client, ...exchange }) });
  const { refresh_token } = await response.json();
  return { name, endpoint, bytes: formatRequest(endpoint, { ...client, refresh_token }), turns: [] };
}

async function startOauth2MockServer() {
  const script = fileURLToPath(new URL('oauth2-mock-server.mjs', import.meta.url));
  const { url } = await startProcess(process.execPath, '--no-warnings', script);
  const endpoint = `${url}/token`;
  const form = { client_id: 'C1', client_secret: 's', refresh_token: 'r' };
  return { name: 'oauth2-mock-server, two signed tokens', endpoint, bytes: formatRequest(endpoint, form), turns: [] };
}

const FLOOR = `
  const body = JSON.stringify({ access_token: 'a'.repeat(300) });
  const server = require('node:http').createServer((request, response) => {
    request.on('data', () => {}).on('end', () => response.setHeader('content-length', body.length).end(body));
  });
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: 'http://127.0.0.1:' + server.address().port })));
  process.stdin.resume().on('end', () => process.exit(0));
`;

async function startFloor() {
  const { url } = await startProcess(process.execPath, '--eval', FLOOR);
  return { name: "Node.js HTTP server, constant response", endpoint: `${url}/`, bytes: formatRequest(url, {}), turns: [] };
}

const servers = [
  await startFloor(),
  await startMock('MockWebex', 'spark:all'),
  await startMock('MockWebex, a signed ID token', 'openid'),
  await startOauth2MockServer(),
];
for (const server of servers) await runTurn(server);
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  for (const server of servers) server.turns.push(await runTurn(server));
}
console.log(`${servers[0].turns.length} turns of ${TURN_MS} ms each, over ${CONNECTIONS} connections\n`);
console.log('| refreshes per second | best turn | median turn |\n|---|---:|---:|');
for (const { name, turns } of servers) {
  turns.sort((a, b) => a - b);
  console.log(`| ${name} | ${Math.round(turns.at(-1))} | ${Math.round(turns[turns.length >> 1])} |`);
}
const [, , mock, oauth2MockServer] = servers.map(({ turns }) => turns.at(-1));
const ratio = (mock / oauth2MockServer).toFixed(2);
console.log(`\nratio: ${ratio} (MockWebex with a signed ID token to oauth2-mock-server, best turns)`);
process.exit(0);
