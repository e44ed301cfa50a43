// The harness of the JavaScript client: control of the mock, the simulated user, and the report of results.

import { createInterface } from 'node:readline';

export const webex = JSON.parse(process.env.WEBEX);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Sends a control command to the mock and returns its result. */
export async function sendCommand(name, parameters = {}) {
  const response = await fetch(`${webex.control}/${name}`, { method: 'POST', body: JSON.stringify(parameters) });
  const body = await response.json();
  if (!response.ok) throw new Error(`control command ${name}: ${body.error}`);
  return body;
}

/** Approves an authorization request without a page, and returns the callback URL. */
export const approve = async (url) => (await sendCommand('approve', { url })).callback;

/** Opens a page in a browser, fills in its forms, and returns the callback URL or the last page. */
export async function visit(url, inputs) {
  console.log(JSON.stringify({ visit: url, inputs }));
  return JSON.parse((await lines.next()).value);
}

/** Reports a result, which the test compares with the expected one. */
export const report = (result, values) => console.log(JSON.stringify({ result, ...values }));

/** Returns the email address of the user of an access token, or the status if the token is rejected. */
export async function tokenOwner(accessToken) {
  const response = await fetch(`${webex.base}/people/me`, { headers: { authorization: `Bearer ${accessToken}` } });
  return response.ok ? (await response.json()).emails[0] : response.status;
}

/** Returns the error that a promise is rejected with. */
export async function expectError(promise) {
  let outcome;
  try {
    outcome = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`the call succeeds: ${JSON.stringify(outcome)}`);
}

/** Closes standard input, so that the program ends. */
export const close = () => process.stdin.destroy();
