/**
 * Runs a client in a Worker, which is stopped if it does not answer.
 *
 * @module
 */

/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import { type Code, NOTHING, programText, type Reaction } from "./clients.ts";
import type { Delivery } from "./simulation.ts";
import type { Answer, Question } from "./worker.ts";

// deno-lint-ignore no-explicit-any
const policy = (self as any).trustedTypes?.createPolicy("client", {
  createScriptURL: (url: string) => url,
});

/** A client in a Worker. */
export class Learner {
  /** What the client has done last. */
  last: Reaction = NOTHING;
  /** Whether it had to be stopped. */
  isStopped = false;
  /** Resolves to whether the client runs, as its line may not be JavaScript. */
  readonly ready: Promise<boolean>;
  readonly #worker: Worker;
  #stop = () => {};

  /** Starts a client that asks for `chunk` bytes a read. */
  constructor(code: Code, chunk: number) {
    const modules = Array.from(document.querySelectorAll("script.worker"));
    const source = `${modules.map((module) => module.textContent).join("\n")}
modules["web/worker.ts"].serve(${programText(code)}, ${chunk});`;
    const url = URL.createObjectURL(new Blob([source]));
    this.#worker = new Worker(policy?.createScriptURL(url) ?? url);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const [, error] = /SyntaxError: (.*)/.exec(event.message) ?? [];
      this.#fail(`is not JavaScript yet${error ? `: ${error}` : ""}`);
    };
    this.ready = this.#ask({}, 30_000).then((answer) => {
      URL.revokeObjectURL(url);
      this.#worker.onerror = null;
      return answer !== undefined;
    });
  }

  /** Returns what the client does with a read, or `undefined` if it has failed before. */
  async read(read: Uint8Array): Promise<Reaction | undefined> {
    if (this.last.failure !== undefined) return undefined;
    if (await this.ready) {
      const answer = await this.#ask({ read }, 1000);
      this.last = answer?.reaction ?? this.last;
    }
    return this.last;
  }

  /** Returns how many of the 20 messages the client gets with each read size, or `undefined` if it comes to no end. */
  async try(trial: Delivery): Promise<number[] | undefined> {
    if (!await this.ready) return undefined;
    return (await this.#ask({ trial }, 3000))?.messages;
  }

  /** Ends the Worker. */
  end(): void {
    this.#worker.terminate();
    this.#stop();
  }

  #fail(failure: string): void {
    const notes = [{ kind: "bad", text: `✗ ${failure}` } as const];
    this.last = { ...this.last, notes, steps: [], failure };
    this.end();
  }

  /** Asks the Worker. Resolves to `undefined` if it has ended, or has to be stopped after `limit` milliseconds. */
  #ask(question: Question, limit: number): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const stop = () => {
        this.isStopped = true;
        this.#fail("does not come to an end, and was stopped after 1 s");
      };
      // In two halves: a page that is held up for a while gets the answer first.
      let timer = setTimeout(() => {
        timer = setTimeout(stop, limit / 2);
      }, limit / 2);
      const settle = (answer?: Answer) => {
        clearTimeout(timer);
        resolve(answer);
      };
      this.#stop = settle;
      this.#worker.onmessage = ({ data }) => settle(data);
      this.#worker.postMessage(question);
    });
  }
}
