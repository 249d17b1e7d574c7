/**
 * Many clients in one process, for tests that need thousands. All dial at once,
 * each reads its stream to the end, and all stay until the process is ended: so
 * they are there at the same time, however slow the machine is.
 *
 * ```shell
 * deno run --allow-net=127.0.0.1 tests/crowd.ts PORT CLIENTS
 * ```
 *
 * @module
 */

import { connectMany, readMessages } from "./testing.ts";

const [port, clients] = Deno.args.map(Number);
const connections = await connectMany(port, clients);
const streams = await Promise.all(
  connections.map((connection) => readMessages(connection, 1024)),
);
console.log(`done: ${streams.every(({ length }) => length === 20)}`);
await new Promise(() => setInterval(() => {}, 3_600_000));
