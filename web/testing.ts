/**
 * Runs the live page for its tests and pictures, and drives Chromium with
 * chromedriver and `fetch` alone.
 *
 * @module
 */

import {
  freePort,
  type Script,
  type StartOptions,
  startProcess,
  startScript,
  until,
} from "../tests/testing.ts";

/** Twenty messages as the server sends them. */
export const TIMES: string[] = Array.from(
  { length: 20 },
  (_, i) => `The time is 1795392089.6955${10 + i}`,
);

/** The running program that serves the page, and the address to open, without a slash at its end. */
export type Page = Script & { url: string };

/** Starts the page on a free port, and waits until it can be opened. */
export async function startPage(
  args: string[],
  options?: StartOptions,
): Promise<Page> {
  const script = startScript("web", ["--web-port", "0", ...args], options);
  try {
    const [, url] = await script.stderr.waitFor(/^Open (http:\S+) in /m);
    return Object.assign(script, { url });
  } catch (error) {
    await script[Symbol.asyncDispose]();
    throw error;
  }
}

/** What a test works with: a page, and the server from which it reads. */
export interface Stage {
  page: Page;
  server: TcpServer;
}

/** Runs a test on a stage of its own. */
export async function withPage(
  fn: (stage: Stage) => Promise<void>,
): Promise<void> {
  await using server = new TcpServer();
  await using page = await startPage(["--port", `${server.port}`]);
  await fn({ page, server });
}

/** A server for the page's program. */
export class TcpServer implements AsyncDisposable {
  readonly port: number;
  /** What each client gets before its stream ends. Without it, the stream stays open. */
  bytes?: Uint8Array;
  /** How many bytes have been sent. */
  sent = 0;
  readonly #listener: Deno.TcpListener;
  readonly #clients: Deno.TcpConn[] = [];
  readonly #serving: Promise<void>;
  #left = 0;

  constructor(port = 0, bytes?: Uint8Array) {
    this.bytes = bytes;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.port = this.#listener.addr.port;
    this.#serving = this.#serve();
  }

  /** Waits until a number of clients have connected. Returns the last one. */
  async client(number = 1): Promise<Deno.TcpConn> {
    await until(() => "a client", () => this.#clients.length >= number);
    return this.#clients.at(-1)!;
  }

  /** Waits until a number of clients have closed their connection. */
  async left(number = 1): Promise<void> {
    await until(() => "a client to leave", () => this.#left >= number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    for (const client of this.#clients) client.close();
  }

  async #serve(): Promise<void> {
    for await (const client of this.#listener) {
      this.#clients.push(client);
      this.#drain(client).catch(() => {}).finally(() => this.#left++);
      this.#send(client).catch(() => {}); // The client has left.
    }
  }

  async #send(client: Deno.TcpConn): Promise<void> {
    if (this.bytes === undefined) return;
    for (let rest = this.bytes; rest.length > 0;) {
      const count = await client.write(rest);
      this.sent += count;
      rest = rest.subarray(count);
    }
    await client.closeWrite();
  }

  async #drain(client: Deno.TcpConn): Promise<void> {
    while (await client.read(new Uint8Array(1024)) !== null);
  }
}

/** What the page is shown on, in CSS pixels. */
export interface Screen {
  width: number;
  height: number;
  /** Media features, such as `{ "prefers-color-scheme": "dark" }`. */
  media?: Record<string, string>;
}

/** A headless Chromium with one page. Disposing of it ends all its processes. */
export class Browser implements AsyncDisposable {
  readonly #driver: Script;
  readonly #session: string;

  private constructor(driver: Script, session: string) {
    this.#driver = driver;
    this.#session = session;
  }

  /** Starts a browser. */
  static async start(): Promise<Browser> {
    // With port 0, it ends if the port that it gets in IPv6 is taken in IPv4.
    const port = freePort();
    const driver = startProcess(["chromedriver", `--port=${port}`]);
    try {
      await driver.stdout.waitFor(/started successfully/);
      const sessions = `http://127.0.0.1:${port}/session`;
      // As root, as in a container, Chromium starts without its sandbox only.
      const args = ["--headless", "--no-sandbox", "--hide-scrollbars"];
      const options = { "goog:chromeOptions": { args } };
      const { sessionId } = await send(sessions, {
        capabilities: { alwaysMatch: options },
      }) as { sessionId: string };
      return new Browser(driver, `${sessions}/${sessionId}`);
    } catch (error) {
      await driver[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens a page, and waits until it is loaded. */
  async open(url: string): Promise<void> {
    await send(`${this.#session}/url`, { url });
    // Some versions of chromedriver answer early on a busy machine.
    await this.waitFor("return document.readyState === 'complete'");
  }

  /** Runs the body of a function in the page. Returns what it returns. */
  async run<T>(script: string, ...args: unknown[]): Promise<T> {
    const body = { script, args };
    return await send(`${this.#session}/execute/sync`, body) as T;
  }

  /** Waits until the body of a function returns true in the page. */
  async waitFor(script: string): Promise<void> {
    await until(() => script, () => this.run<boolean>(script));
  }

  /** Waits until the page's status line matches. */
  async says(pattern: RegExp): Promise<void> {
    let said = "";
    await until(() => `${pattern} in ${JSON.stringify(said)}`, async () => {
      said = await this.text("#status");
      return pattern.test(said);
    });
  }

  /** Returns the text of the element that a selector selects. */
  async text(selector: string): Promise<string> {
    const script = "return document.querySelector(arguments[0]).textContent";
    return await this.run(script, selector);
  }

  /** Presses keys, one after the other. Special keys are WebDriver's private characters. */
  async press(...keys: string[]): Promise<void> {
    const actions = keys.flatMap((value) => [
      { type: "keyDown", value },
      { type: "keyUp", value },
    ]);
    const body = { actions: [{ type: "key", id: "keyboard", actions }] };
    await send(`${this.#session}/actions`, body);
  }

  /** Sets what the page is shown on. */
  async show({ width, height, media = {} }: Screen): Promise<void> {
    await this.devTools("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const features = Object.entries(media);
    await this.devTools("Emulation.setEmulatedMedia", {
      features: features.map(([name, value]) => ({ name, value })),
    });
  }

  /** Sends a command of the Chrome DevTools Protocol. Returns its result. */
  devTools(cmd: string, params: unknown): Promise<unknown> {
    return send(`${this.#session}/goog/cdp/execute`, { cmd, params });
  }

  /** Ends the browser and chromedriver. */
  async [Symbol.asyncDispose](): Promise<void> {
    await fetch(this.#session, { method: "DELETE" });
    await this.#driver[Symbol.asyncDispose]();
  }
}

/** Sends a command of the WebDriver protocol. Returns its value. */
async function send(url: string, body: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method: "POST",
    body: JSON.stringify(body),
  });
  const { value } = await response.json();
  if (!response.ok) {
    throw new Error(`Cannot drive the browser: ${value.message}`);
  }
  return value;
}
