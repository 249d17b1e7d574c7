/**
 * Runs a client in a Worker of its own: the page only asks it what it does with
 * a read, and stops it if it does not answer.
 *
 * @module
 */

/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import { type Code, NOTHING, programText, type Reaction } from "./clients.ts";
import type { Delivery } from "./simulation.ts";
import type { Answer, Question, Results } from "./worker.ts";

// The page's policy allows a Worker to be made of the page's own text only.
// deno-lint-ignore no-explicit-any
const policy = (self as any).trustedTypes?.createPolicy("client", {
  createScriptURL: (url: string) => url,
});

/** A client in a Worker. */
export class Learner {
  readonly #worker: Worker;
  /** What the client has done last. */
  last: Reaction = NOTHING;
  /** Resolves to `false` if its line is not JavaScript. */
  readonly ready: Promise<boolean>;
  #answered: Promise<unknown>;
  #isEnded = false;
  #stop = (_reason?: string) => {};

  /** Starts a client that asks for `chunk` bytes a read. */
  constructor(code: Code, chunk: number) {
    const source = `${
      Array.from(
        document.querySelectorAll("script.worker"),
        ({ textContent }) => textContent,
      ).join("\n")
    }
modules["web/worker.ts"].serve(${programText(code)}, ${chunk});`;
    const url = URL.createObjectURL(new Blob([source]));
    this.#worker = new Worker(policy?.createScriptURL(url) ?? url);
    this.ready = new Promise((resolve) => {
      this.#stop = () => resolve(false);
      this.#worker.onmessage = () => resolve(true);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        const text = event.message?.replace(/^(Uncaught )?SyntaxError: /, "");
        this.#fail(`is not JavaScript yet: ${text ?? "it cannot be read"}.`);
      };
    });
    this.ready.then(() => {
      URL.revokeObjectURL(url);
      this.#worker.onerror = null;
    });
    this.#answered = this.ready;
  }

  /** Returns what the client does with a read, or `undefined` if it has failed before. */
  async read(read: Uint8Array): Promise<Reaction | undefined> {
    if (this.last.failure !== undefined) return undefined;
    const reaction = (await this.#ask({ read }, 200))?.reaction;
    if (reaction !== undefined) this.last = reaction;
    return this.last;
  }

  /** Returns how the client does with every read size, or `undefined` if it is endless. */
  async try(trial: Delivery): Promise<Results | undefined> {
    return (await this.#ask({ trial }, 3000))?.results;
  }

  /** Ends the Worker. */
  end(): void {
    this.#isEnded = true;
    this.#worker.terminate();
    this.#stop();
  }

  #fail(reason: string): void {
    this.last = { ...this.last, failure: { reason } };
    this.end();
  }

  /** Asks the Worker, when it has answered the question before. Stops it after `limit` milliseconds. */
  #ask(question: Question, limit: number): Promise<Answer | undefined> {
    const answer = this.#answered.then(() =>
      new Promise<Answer | undefined>((resolve) => {
        if (this.#isEnded) return resolve(undefined);
        const stop = () =>
          this.#fail(
            `does not come to an end, and was stopped after ${limit / 1000} s.`,
          );
        // Two halves: when the computer wakes up, only the first is over.
        let timer = setTimeout(
          () => timer = setTimeout(stop, limit / 2),
          limit / 2,
        );
        this.#stop = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
        this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
          if (data.unfinished) this.last = data.unfinished;
          if (!data.reaction && !data.results) return;
          clearTimeout(timer);
          resolve(data);
        };
        this.#worker.postMessage(question);
      })
    );
    this.#answered = answer;
    return answer;
  }
}
