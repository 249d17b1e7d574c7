/**
 * Runs in a client's Worker, where an endless loop does not hang the page:
 * answers what web/learner.ts asks, one question at a time.
 *
 * @module
 */

import { Client, type Program, type Reaction } from "./clients.ts";
import { type Delivery, MESSAGES, Simulation, SIZES } from "./simulation.ts";

/** A read for the client, or servers to try it with. */
export type Question = { read: Uint8Array } | { trial: Delivery };

/** How a client does with every read size. */
export interface Results {
  /** How many of the 20 messages it gets with each size. */
  messages: number[];
  /** A server with which it fails, if it gets all with every size from this one. */
  failsWith?: Delivery["server"];
}

/** What the page gets. `unfinished` comes before the answer. */
export interface Answer {
  reaction?: Reaction;
  results?: Results;
  unfinished?: Reaction;
}

/** Answers the page, for a client that asks for `chunk` bytes a read. */
export function serve(program: Program, chunk: number): void {
  const page = self as unknown as {
    postMessage(answer: Answer): void;
    onmessage: (event: MessageEvent<Question>) => void;
  };
  const client = new Client(program, chunk, (unfinished) => {
    page.postMessage({ unfinished });
  });
  page.onmessage = async ({ data }) => {
    page.postMessage(
      "read" in data
        ? { reaction: await client.read(data.read) }
        : { results: await tryAll(program, data.trial) },
    );
  };
  page.postMessage({}); // The script is JavaScript.
}

async function tryAll(program: Program, trial: Delivery): Promise<Results> {
  const messages: number[] = [];
  for (const size of SIZES) {
    messages.push(await tryOne(program, { ...trial, size }));
  }
  if (messages.some((number) => number < 20)) return { messages };
  for (const server of Object.keys(MESSAGES) as Delivery["server"][]) {
    for (const size of SIZES) {
      const number = await tryOne(program, { ...trial, server, size });
      if (number < 20) return { messages, failsWith: server };
    }
  }
  return { messages };
}

/** Returns how many of the 20 messages a client prints. If it prints others, too, these are 19 at most. */
async function tryOne(program: Program, delivery: Delivery): Promise<number> {
  const client = new Client(program, delivery.size);
  const simulation = new Simulation(delivery.server);
  const wanted = MESSAGES[delivery.server];
  const printed: string[] = [];
  while (true) {
    const read = simulation.read(delivery);
    if (read === null) break;
    const { steps, failure } = await client.read(read);
    printed.push(...steps.map(({ text }) => text));
    if (failure !== undefined) break;
  }
  if (printed.join("\n") === wanted.join("\n")) return 20;
  return Math.min(19, wanted.filter((text) => printed.includes(text)).length);
}
