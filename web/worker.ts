/**
 * Runs in a client's Worker, where an endless loop does not hang the page, and
 * answers the questions of web/learner.ts, one at a time.
 *
 * @module
 */

import { Client, type Program, type Reaction } from "./clients.ts";
import { type Delivery, MESSAGES, Simulation, SIZES } from "./simulation.ts";

/** Asks what the client does with a read, or how it does with every read size. */
export interface Question {
  read?: Uint8Array;
  trial?: Delivery;
}

export interface Answer {
  reaction?: Reaction;
  results?: Results;
}

/** How a client does with every read size. */
export interface Results {
  /** How many of the 20 messages it gets with each size. */
  messages: number[];
  /** If it gets all with every size: another server with which it does not. */
  failsWith?: Delivery["server"];
}

/** Answers the page, for a client that asks for `chunk` bytes a read. */
export function serve(program: Program, chunk: number): void {
  const page = self as unknown as Worker;
  const client = new Client(program, chunk);
  page.onmessage = async ({ data }: MessageEvent<Question>) => {
    const reaction = data.read && await client.read(data.read);
    const results = data.trial && await tryAll(program, data.trial);
    page.postMessage({ reaction, results } satisfies Answer);
  };
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

/** Returns how many of the 20 messages a client prints, and 19 at most if it prints others too. */
async function tryOne(program: Program, delivery: Delivery): Promise<number> {
  const client = new Client(program, delivery.size);
  const simulation = new Simulation(delivery.server);
  const sent = MESSAGES[delivery.server];
  const printed: string[] = [];
  while (true) {
    const read = simulation.read(delivery);
    if (read === null) break;
    const { notes, failure } = await client.read(read);
    const messages = notes.filter(({ kind }) => kind === "message");
    printed.push(...messages.map(({ text }) => text));
    if (failure !== undefined) break;
  }
  if (printed.join("\n") === sent.join("\n")) return 20;
  return Math.min(19, sent.filter((text) => printed.includes(text)).length);
}
