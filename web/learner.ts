/**
 * Runs a client's loop in a Worker: an endless loop in it does not hang the
 * page, and a mistake in it is told.
 *
 * @module
 */

/// <reference lib="dom" />

import type { Code, Reaction, State } from "./clients.ts";
import type { Delivery } from "./simulation.ts";
import type { Answer, Request } from "./worker.ts";

export type Results = Extract<Answer, { results: number[] }>;

/** How long a client may take for an answer, in milliseconds. */
const LIMIT = 200;

/** The page's policy lets only an address from here become a script. */
const addresses = { createScriptURL: (url: string) => url };
type Trusted = {
  createPolicy(name: string, rules: typeof addresses): typeof addresses;
};
const { trustedTypes } = globalThis as { trustedTypes?: Trusted };
const trusted = trustedTypes?.createPolicy("client", addresses) ?? addresses;

/** A client in a Worker. */
export class Learner {
  readonly #worker: Worker;
  /** Whether the line is JavaScript. */
  readonly ready: Promise<boolean>;
  state: State = { messages: 0, thrownAway: 0, has: 0 };
  #last: Promise<unknown>;
  #stop = (_reason: string) => {};
  #isStopped = false;

  constructor({ before, line, after }: Code) {
    const source = `${
      Array.from(document.querySelectorAll("script.worker"), (script) =>
        script.textContent).join("\n")
    }
modules["web/worker.ts"].serve((received, decodeHeader, print, buffer, size) => { const HEADER_LENGTH = 10;
${before}
${line}
${after}
return received; });`;
    const url = URL.createObjectURL(new Blob([source]));
    this.#worker = new Worker(trusted.createScriptURL(url));
    this.ready = new Promise((resolve) => {
      this.#worker.onmessage = () => {
        URL.revokeObjectURL(url);
        resolve(true);
      };
      this.#worker.onerror = (event) => {
        event.preventDefault();
        const { message } = event;
        this.#fail(
          message === undefined
            ? "This is not JavaScript yet"
            : message.replace(
              /^(Uncaught )?(SyntaxError: )?/,
              "Not JavaScript yet: ",
            ),
        );
        resolve(false);
      };
    });
    this.#last = this.ready;
  }

  /** Returns what the client makes of a read, or `undefined` if it has failed before. */
  async read(read: Uint8Array): Promise<Reaction | undefined> {
    if (this.state.failure !== undefined) return undefined;
    const answer = await this.#ask({ read });
    if (answer === undefined && this.state.failure !== undefined) {
      const kept = new Uint8Array();
      return { messages: [], lost: 0, again: 0, kept, isEnd: true, steps: [] };
    }
    if (answer !== undefined && "state" in answer) {
      this.state = answer.state;
      return answer.reaction;
    }
  }

  /** Returns how many messages the client gets with each number of bytes per read. */
  async try(trial: Delivery): Promise<Results | undefined> {
    const answer = await this.#ask({ trial });
    return answer !== undefined && "results" in answer ? answer : undefined;
  }

  /** Ends the Worker. */
  end(): void {
    this.#isStopped = true;
    this.#worker.terminate();
    this.#stop("");
  }

  #fail(reason: string): void {
    this.state = {
      ...this.state,
      failure: { offset: 0, reason, isMistake: true },
    };
    this.end();
  }

  /** Asks the Worker, one question at a time. */
  #ask(request: Request): Promise<Answer | undefined> {
    const asked = this.#last.then(() =>
      this.#isStopped
        ? undefined
        : new Promise<Answer | undefined>((resolve) => {
          const timer = setTimeout(
            () =>
              this.#fail(
                "does not come to an end, and was stopped after 0.2 s.",
              ),
            LIMIT,
          );
          this.#stop = () => {
            clearTimeout(timer);
            resolve(undefined);
          };
          this.#worker.onmessage = ({ data }) => {
            if (!(data?.state || data?.results)) return; // from the line itself
            clearTimeout(timer);
            resolve(data);
          };
          this.#worker.postMessage(request);
        })
    );
    this.#last = asked;
    return asked;
  }
}
