/**
 * Drives Chromium with chromedriver, over WebDriver with `fetch` alone.
 *
 * @module
 */

import { type Script, startProcess, until } from "../tests/testing.ts";

/** What the page is shown on, in CSS pixels. */
export interface Screen {
  width: number;
  height: number;
  isDark?: boolean;
}

/** Keys, as WebDriver names them. */
export const KEYS = { tab: "\ue004", left: "\ue012", down: "\ue015" } as const;

/** A headless Chromium with one page. Disposing of it ends all its processes. */
export class Browser implements AsyncDisposable {
  readonly #driver: Script;
  readonly #profile: string;
  readonly #session: string;

  private constructor(driver: Script, profile: string, session: string) {
    this.#driver = driver;
    this.#profile = profile;
    this.#session = session;
  }

  /** Starts a browser. */
  static async start(): Promise<Browser> {
    const profile = await Deno.makeTempDir();
    const driver = startProcess(["chromedriver", "--port=0"]);
    try {
      const [, port] = await driver.stdout.waitFor(/success.* port (\d+)/);
      const sessions = `http://127.0.0.1:${port}/session`;
      const args = [
        "--headless",
        "--no-sandbox", // as root, as in a container, it starts only so
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        `--user-data-dir=${profile}`,
      ];
      const alwaysMatch = { "goog:chromeOptions": { args } };
      const { sessionId } = await send(sessions, {
        capabilities: { alwaysMatch },
      }) as { sessionId: string };
      return new Browser(driver, profile, `${sessions}/${sessionId}`);
    } catch (error) {
      await driver[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens a page, and waits until it is loaded. */
  async open(url: string): Promise<void> {
    // Another page first, as an address that differs only behind # loads nothing.
    await send(`${this.#session}/url`, { url: "about:blank" });
    await send(`${this.#session}/url`, { url });
    // On a busy machine, chromedriver answers before the page is loaded.
    await this.waitFor("document.readyState === 'complete'");
  }

  /** Returns the value of an expression in the page. */
  async get<T = unknown>(expression: string, ...args: unknown[]): Promise<T> {
    const body = { script: `return ${expression}`, args };
    return await send(`${this.#session}/execute/sync`, body) as T;
  }

  /** Waits until an expression is true in the page. */
  async waitFor(expression: string): Promise<void> {
    await until(() => expression, () => this.get<boolean>(expression));
  }

  /** Waits until the text of an element matches, by default of the status line. */
  async says(pattern: RegExp, selector = "#status"): Promise<string> {
    let text = "";
    await until(() => `${pattern} in ${JSON.stringify(text)}`, async () => {
      text = await this.text(selector);
      return pattern.test(text);
    });
    return text;
  }

  /** Returns the text of an element. */
  async text(selector: string): Promise<string> {
    return await this.get(
      "document.querySelector(arguments[0]).textContent",
      selector,
    );
  }

  /** Presses keys, one after the other. */
  async press(...keys: string[]): Promise<void> {
    const actions = keys.flatMap((value) => [
      { type: "keyDown", value },
      { type: "keyUp", value },
    ]);
    const body = { actions: [{ type: "key", id: "keyboard", actions }] };
    await send(`${this.#session}/actions`, body);
  }

  /** Sets what the page is shown on. */
  async show({ width, height, isDark = false }: Screen): Promise<void> {
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.devTools("Emulation.setDeviceMetricsOverride", size);
    const value = isDark ? "dark" : "light";
    const features = [{ name: "prefers-color-scheme", value }];
    await this.devTools("Emulation.setEmulatedMedia", { features });
  }

  /** Sends a command of the Chrome DevTools Protocol. Returns its result. */
  async devTools<T>(cmd: string, params: unknown = {}): Promise<T> {
    const body = { cmd, params };
    return await send(`${this.#session}/goog/cdp/execute`, body) as T;
  }

  /** Ends the browser and chromedriver. */
  async [Symbol.asyncDispose](): Promise<void> {
    await fetch(this.#session, { method: "DELETE" })
      .then((response) => response.body?.cancel());
    await this.#driver[Symbol.asyncDispose]();
    await Deno.remove(this.#profile, { recursive: true });
  }
}

/** Sends a command of the WebDriver protocol. Returns its value. */
async function send(url: string, body: unknown): Promise<unknown> {
  const method = "POST";
  const response = await fetch(url, { method, body: JSON.stringify(body) });
  const { value } = await response.json();
  if (response.ok) return value;
  throw new Error(`Cannot drive the browser: ${value.message}`);
}
