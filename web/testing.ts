/**
 * Runs the live page for its tests and pictures, and drives Chromium with
 * chromedriver and `fetch` alone.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import {
  freePort,
  type Script,
  startProcess,
  until,
  within,
  writeAll,
} from "../tests/testing.ts";

/** This project's folder. */
export const ROOT: string = fileURLToPath(new URL("../", import.meta.url));

/** Starts `deno task web`, without what the task does before. */
export function startWeb(args: string[], root = ROOT): Script {
  const [, run, ...flags] = config.tasks.web.command.split(" ");
  const file = root + flags.pop();
  const absolute = flags.map((flag) =>
    flag.replace(/^--allow-read=.*/, `--allow-read=${root}`)
  );
  const allowed = root === ROOT ? flags : absolute;
  return startProcess(
    [Deno.execPath(), run, "--no-prompt", ...allowed, file, ...args],
  );
}

/** Starts the page on a free port, and waits until it can be opened. */
export async function startPage(args: string[], root = ROOT): Promise<Page> {
  const script = startWeb(["--web-port", "0", ...args], root);
  try {
    const [, url] = await script.stderr.waitFor(/^Open (http:\S+) in /m);
    return new Page(script, url);
  } catch (error) {
    await script[Symbol.asyncDispose]();
    throw error;
  }
}

/** The running program that serves the page. */
export class Page implements AsyncDisposable {
  /** Its process. */
  readonly script: Script;
  /** The address to open, without a slash at its end. */
  readonly url: string;

  /** Constructs a new instance. */
  constructor(script: Script, url: string) {
    this.script = script;
    this.url = url;
  }

  /** Ends it as `kill` does, so that the server of `--demo` ends too. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.script.kill("SIGTERM");
    await this.script.result();
    await this.script[Symbol.asyncDispose]();
  }
}

/** What a test of the page works with. */
export interface Stage {
  /** A page that reads from `tcpPort`. */
  page: Page;
  /** The TCP port from which that page reads. It is free at first. */
  tcpPort: number;
}

/** Runs a test with a page of its own. */
export async function withPage(
  fn: (stage: Stage) => Promise<void>,
): Promise<void> {
  const tcpPort = freePort();
  await using page = await startPage(["--port", `${tcpPort}`]);
  await fn({ page, tcpPort });
}

/** What the page is shown on. */
export interface Screen {
  /** Width in CSS pixels. */
  width: number;
  /** Height in CSS pixels. */
  height: number;
  /** Media features, such as `{ "prefers-color-scheme": "dark" }`. */
  media?: Record<string, string>;
}

/** A headless Chromium with one page. Disposing of it ends all its processes. */
export class Browser implements AsyncDisposable {
  readonly #driver: Deno.ChildProcess;
  #session = "";
  #debuggerAddress = "";

  private constructor() {
    this.#driver = new Deno.Command("chromedriver", {
      args: ["--port=0"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
  }

  /** Starts a browser. */
  static async start(): Promise<Browser> {
    const browser = new Browser();
    try {
      await browser.#connect();
      return browser;
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The address of Chromium's debugger, `HOST:PORT`. */
  get debuggerAddress(): string {
    return this.#debuggerAddress;
  }

  /** Opens a page, and waits until it is loaded. */
  async open(url: string): Promise<void> {
    await send(`${this.#session}/url`, { url });
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
    await this.#devTools("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const features = Object.entries(media);
    await this.#devTools("Emulation.setEmulatedMedia", {
      features: features.map(([name, value]) => ({ name, value })),
    });
  }

  /** Returns a picture of the page, in PNG. */
  async picture(): Promise<Uint8Array<ArrayBuffer>> {
    const shot = await this.#devTools("Page.captureScreenshot", {});
    return Uint8Array.fromBase64((shot as { data: string }).data);
  }

  /** Ends the browser and chromedriver. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#session !== "") await fetch(this.#session, { method: "DELETE" });
    this.#driver.kill("SIGKILL");
    await this.#driver.status;
  }

  async #connect(): Promise<void> {
    const port = await findPort(this.#driver.stdout);
    const sessions = `http://127.0.0.1:${port}/session`;
    // As root, as in a container, Chromium starts without its sandbox only.
    const args = ["--headless", "--no-sandbox", "--hide-scrollbars"];
    const options = { "goog:chromeOptions": { args } };
    const { sessionId, capabilities } = await send(sessions, {
      capabilities: { alwaysMatch: options },
    }) as Session;
    this.#session = `${sessions}/${sessionId}`;
    this.#debuggerAddress = capabilities["goog:chromeOptions"].debuggerAddress;
  }

  #devTools(cmd: string, params: unknown): Promise<unknown> {
    return send(`${this.#session}/goog/cdp/execute`, { cmd, params });
  }
}

/** What chromedriver says of a browser that it has started. */
interface Session {
  sessionId: string;
  capabilities: { "goog:chromeOptions": { debuggerAddress: string } };
}

/** Returns whether there is a chromedriver here that may be started. */
export async function hasChromedriver(): Promise<boolean> {
  try {
    const command = new Deno.Command("chromedriver", { args: ["--version"] });
    return (await command.output()).success;
  } catch {
    return false;
  }
}

/** Returns the port that chromedriver has chosen. */
async function findPort(stdout: ReadableStream<Uint8Array<ArrayBuffer>>) {
  let said = "";
  for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
    said += text;
    const port = /successfully on port (\d+)/.exec(said)?.[1];
    if (port !== undefined) return port;
  }
  throw new Error(`Cannot start chromedriver: ${said}`);
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

/** A server that sends bytes to the page's program. */
export class TcpServer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #connections: Deno.TcpConn[] = [];
  readonly #accepted = Promise.withResolvers<void>();
  readonly #left = Promise.withResolvers<void>();
  readonly #serving: Promise<void>;

  /** Listens, and sends each client what `send` writes. Then it ends the stream. */
  constructor(
    port: number,
    send?: (client: Deno.TcpConn) => Promise<void>,
  ) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#serving = this.#serve(send);
  }

  /** Settles when there is a client. */
  get accepted(): Promise<void> {
    return within(this.#accepted.promise, () => "a client");
  }

  /** Settles when a client has closed its connection. */
  get left(): Promise<void> {
    return within(this.#left.promise, () => "a client to leave");
  }

  /** Sends bytes to the first client. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.accepted;
    await writeAll(this.#connections[0], bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    for (const connection of this.#connections) connection.close();
  }

  async #serve(send?: (client: Deno.TcpConn) => Promise<void>): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#connections.push(connection);
        this.#accepted.resolve();
        drain(connection).finally(() => this.#left.resolve());
        send?.(connection).then(() => connection.closeWrite()).catch(() => {
          // The client has left.
        });
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

/** Reads until the other side closes. */
async function drain(connection: Deno.TcpConn): Promise<void> {
  try {
    while (await connection.read(new Uint8Array(1024)) !== null);
  } catch {
    // It is closed already.
  }
}
