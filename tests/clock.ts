/**
 * Preloaded before the server, replaces its clocks and timers: time passes only
 * while the server waits for a timer, and then at once. So a test of the pace
 * compares times exactly, and never waits for one.
 *
 * The environment variable `CLOCK` holds the {@linkcode Clock} as JSON.
 *
 * @module
 */

/** What happens to the time. */
export interface Clock {
  /** How late every timer is, in milliseconds. */
  late?: number;
  /** The number of the timer, from 1, at which the next two happen. */
  at?: number;
  /** How long the machine sleeps then, in milliseconds. */
  sleep?: number;
  /** How far the system's clock is set forward then, in milliseconds. */
  set?: number;
}

const { late = 0, at = 0, sleep = 0, set = 0 }: Clock = JSON.parse(
  Deno.env.get("CLOCK") ?? "{}",
);
const timers = new Map<number, { due: number; ring: () => void }>();
let monotonic = 0;
let system = Date.UTC(2026, 10, 25);
let rung = 0;
let ids = 0;

const realInterval = setInterval;
Object.defineProperty(performance, "timeOrigin", { value: system });
performance.now = () => monotonic;
Date.now = () => system;
Object.assign(globalThis, {
  setTimeout(ring: () => void, wait = 0): number {
    timers.set(++ids, { due: monotonic + wait, ring });
    return ids;
  },
  clearTimeout: (id: number) => timers.delete(id),
});

Deno.unrefTimer(realInterval(() => {
  const next = [...timers].sort(([, a], [, b]) => a.due - b.due).at(0);
  if (next === undefined) return;
  const [id, { due, ring }] = next;
  timers.delete(id);
  const passed = due - monotonic + late + (++rung === at ? sleep : 0);
  monotonic += passed;
  system += passed + (rung === at ? set : 0);
  ring();
}, 1));
