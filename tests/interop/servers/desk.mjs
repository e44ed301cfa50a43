// What both servers share: a second port on which the test speaks to the script, and an end when the test ends.

import { createServer } from 'node:http';

/** Listens on a free loopback port; resolves to the server. */
export function listen(handler) {
  const server = createServer(handler);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

/** Where a server listens. */
export function address(server) {
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * Answers `POST /<name>` with what `orders[name]` makes of the JSON that came along, tells the test where everything is,
 * and stays until the test closes its end of the pipe: also when it was killed.
 */
export async function openDesk(orders, url) {
  const desk = await listen(async (request, response) => {
    const order = orders[request.url.slice(1)];
    let body = '';
    for await (const chunk of request) body += chunk;
    try {
      if (!order) throw new Error(`no such order: ${request.url}`);
      const answer = (await order(body ? JSON.parse(body) : undefined)) ?? null;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
    } catch (error) {
      response.writeHead(500).end(String(error.stack));
    }
  });
  console.log(JSON.stringify({ url, desk: address(desk) }));
  process.stdin.resume().on('end', () => process.exit(0));
}
