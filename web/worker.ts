/**
 * Runs in a client's Worker, where an endless loop does not hang the page, and
 * answers the questions of web/learner.ts, one at a time.
 *
 * @module
 */

import { Client, NOTHING, type Program, type Reaction } from "./clients.ts";
import { type Delivery, MESSAGES, Simulation, SIZES } from "./simulation.ts";

/** Asks what the client does with a read, or how it does with every read size. */
export interface Question {
  read?: Uint8Array;
  trial?: Delivery;
}

export interface Answer {
  reaction?: Reaction;
  /** How many of the 20 messages it gets with each size. */
  messages?: number[];
}

/** Answers the page, for a client that asks for `chunk` bytes a read. */
export function serve(program: Program, chunk: number): void {
  const page = self as unknown as Worker;
  const client = new Client(program, chunk);
  page.onmessage = async ({ data }: MessageEvent<Question>) => {
    const reaction = data.read && await client.read(data.read);
    const messages = data.trial && await tryAllSizes(program, data.trial);
    page.postMessage({ reaction, messages } satisfies Answer);
  };
}

async function tryAllSizes(program: Program, delivery: Delivery) {
  const messages: number[] = [];
  for (const size of SIZES) {
    messages.push(await trySize(program, { ...delivery, size }));
  }
  return messages;
}

/** Returns how many messages a client prints in their order, and 19 at most if it prints others. */
async function trySize(program: Program, delivery: Delivery): Promise<number> {
  const client = new Client(program, delivery.size);
  const simulation = new Simulation(delivery.server);
  const messages = MESSAGES[delivery.server];
  let right = 0;
  let reaction = NOTHING;
  while (reaction.failure === undefined) {
    const read = simulation.read(delivery);
    if (read === null) break;
    reaction = await client.read(read);
    for (const { kind, text } of reaction.notes) {
      if (kind === "message" && text === messages[right]) right++;
    }
  }
  return Math.min(right, right === reaction.messages ? 20 : 19);
}
