/**
 * What runs in a client's Worker, where nothing but the loop can go wrong.
 *
 * @module
 */

import { Client, type Loop, type Reaction, type State } from "./clients.ts";
import { type Delivery, MESSAGES, Simulation, SIZES } from "./simulation.ts";

/** What the page asks for: what the client makes of a read, or of many streams. */
export type Request = { read: Uint8Array } | { trial: Delivery };
/** What it gets. */
export type Answer =
  | { reaction?: Reaction; state: State }
  | { results: number[]; fails?: Delivery };

/** Answers the page with what a client does that has a loop. */
export function serve(loop: Loop): void {
  const client = new Client(loop);
  const page = globalThis as unknown as Worker;
  page.onmessage = ({ data }: MessageEvent<Request>) => {
    page.postMessage(
      "read" in data
        ? { reaction: client.read(data.read), state: client.state }
        : tryAll(loop, data.trial),
    );
  };
  page.postMessage("ready");
}

/** Returns how many messages a client gets with each number of bytes per read, and a server with which it fails. */
function tryAll(loop: Loop, delivery: Delivery): Answer {
  const results = SIZES.map((size) => tryOne(loop, { ...delivery, size }));
  const servers = Object.keys(MESSAGES) as Delivery["server"][];
  const others = results.every((number) => number === 20)
    ? servers.flatMap((server) =>
      SIZES.map((size) => ({ ...delivery, server, size }))
    )
    : [];
  return { results, fails: others.find((other) => tryOne(loop, other) < 20) };
}

/** Returns how many of the 20 messages a client prints, and 19 at most if it prints others, too. */
function tryOne(loop: Loop, delivery: Delivery): number {
  const client = new Client(loop);
  const simulation = new Simulation(delivery);
  const wanted = MESSAGES[delivery.server];
  const printed: string[] = [];
  while (client.state.failure === undefined) {
    const read = simulation.read(delivery);
    if (read === null) break;
    printed.push(...client.read(read)?.messages ?? []);
  }
  const found = wanted.filter((text) => printed.includes(text)).length;
  return `${printed}` === `${wanted}` ? 20 : Math.min(found, 19);
}
