// The control endpoint of the servers: a second port for commands of the test. The server ends with the test.

import { createServer } from 'node:http';

/** Starts a server on a free loopback port. */
export function listen(handler) {
  const server = createServer(handler);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

/** Returns the base URL of a server. */
export function baseUrl(server) {
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * Starts the control endpoint and prints the URLs. `POST /<name>` calls `commands[name]` with the JSON body and responds with
 * the result. The process ends when the test closes standard input, also if the test is killed.
 */
export async function serveCommands(commands, url) {
  const server = await listen(async (request, response) => {
    const command = commands[request.url.slice(1)];
    let body = '';
    for await (const chunk of request) body += chunk;
    try {
      if (!command) throw new Error(`unknown command: ${request.url}`);
      const result = (await command(body ? JSON.parse(body) : undefined)) ?? null;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(result));
    } catch (error) {
      response.writeHead(500).end(String(error.stack));
    }
  });
  console.log(JSON.stringify({ url, control: baseUrl(server) }));
  process.stdin.resume().on('end', () => process.exit(0));
}
