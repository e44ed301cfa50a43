// What the JavaScript clients share: the mock that they talk to, and how they tell what they see.

import { createInterface } from 'node:readline';

export const webex = JSON.parse(process.env.WEBEX);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Gives the mock an order, and gives its answer. */
export async function order(name, what = {}) {
  const answer = await fetch(`${webex.control}/${name}`, { method: 'POST', body: JSON.stringify(what) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`the order ${name}: ${body.error}`);
  return body;
}

/** The user consents, without a page; gives the callback. */
export const approve = async (url) => (await order('approve', { url })).callback;

/** The user goes through the pages from this one on, and answers them; gives the callback, or the last page. */
export async function visit(url, answers) {
  console.log(JSON.stringify({ visit: url, answers }));
  return JSON.parse((await lines.next()).value);
}

export const tell = (story, what) => console.log(JSON.stringify({ story, ...what }));

/** Whose access token this is, or the status with which it is refused. */
export async function who(accessToken) {
  const answer = await fetch(`${webex.base}/people/me`, { headers: { authorization: `Bearer ${accessToken}` } });
  return answer.ok ? (await answer.json()).emails[0] : answer.status;
}

/** What a call is rejected with. */
export async function caught(promise) {
  let outcome;
  try {
    outcome = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`it succeeds: ${JSON.stringify(outcome)}`);
}

/** The program ends when all was told. */
export const end = () => process.stdin.destroy();
