/**
 * Drives Chromium through chromedriver, over WebDriver with `fetch` alone.
 *
 * @module
 */

import { type Script, startProcess, until } from "../tests/testing.ts";

// As root, as in a container, Chromium starts without its sandbox only.
const FLAGS =
  "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --disable-background-networking --disable-component-update --hide-scrollbars";

/** A headless Chromium with one page. Disposing of it ends all its processes. */
export class Browser implements AsyncDisposable {
  readonly #driver: Script;
  readonly #profile: string;
  #session = "";

  private constructor(driver: Script, profile: string) {
    this.#driver = driver;
    this.#profile = profile;
  }

  /** Starts a browser. */
  static async start(): Promise<Browser> {
    const profile = await Deno.makeTempDir();
    const driver = startProcess(["chromedriver", "--port=0"]);
    const browser = new Browser(driver, profile);
    try {
      const [, port] = await driver.stdout.waitFor(/success.* port (\d+)/);
      const args = [...FLAGS.split(" "), `--user-data-dir=${profile}`];
      const alwaysMatch = { "goog:chromeOptions": { args } };
      browser.#session = `http://127.0.0.1:${port}/session`;
      const { sessionId } = await browser.#send<{ sessionId: string }>("", {
        capabilities: { alwaysMatch },
      });
      browser.#session += `/${sessionId}`;
      return browser;
    } catch (error) {
      await driver[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens a page, and waits until it is loaded. */
  async open(url: string): Promise<void> {
    // An address that differs from the last one only behind # loads nothing.
    await this.#send("/url", { url: "about:blank" });
    await this.#send("/url", { url });
    // On a busy machine, chromedriver answers before the page is loaded.
    await this.waitFor("document.readyState === 'complete'");
  }

  /** Returns the value of an expression in the page. */
  async get<T = unknown>(expression: string): Promise<T> {
    const script = `return ${expression}`;
    return await this.#send("/execute/sync", { script, args: [] });
  }

  /** Waits until an expression is true in the page. */
  async waitFor(expression: string): Promise<void> {
    await until(() => expression, () => this.get<boolean>(expression));
  }

  /** Waits until the text of an element matches. Returns the text. */
  async says(pattern: RegExp, selector = "#status"): Promise<string> {
    let text = "";
    return await until(() => `${pattern} in "${text}"`, async () => {
      text = await this.text(selector);
      return pattern.test(text) && text;
    });
  }

  /** Returns the text of an element. */
  async text(selector: string): Promise<string> {
    return await this.get(`document.querySelector("${selector}").textContent`);
  }

  /** Presses keys, one after the other. Special keys are WebDriver's characters. */
  async press(...keys: string[]): Promise<void> {
    const actions = keys.flatMap((value) => [
      { type: "keyDown", value },
      { type: "keyUp", value },
    ]);
    const keyboard = { type: "key", id: "keyboard", actions };
    await this.#send("/actions", { actions: [keyboard] });
  }

  /** Sets the size of the page in CSS pixels, and its colors. */
  async show(width: number, height: number, isDark = false): Promise<void> {
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.devTools("Emulation.setDeviceMetricsOverride", size);
    const value = isDark ? "dark" : "light";
    const features = [{ name: "prefers-color-scheme", value }];
    await this.devTools("Emulation.setEmulatedMedia", { features });
  }

  /** Sends a command of the Chrome DevTools Protocol. Returns its result. */
  async devTools<T>(cmd: string, params: unknown = {}): Promise<T> {
    return await this.#send("/goog/cdp/execute", { cmd, params });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const response = await fetch(this.#session, { method: "DELETE" });
    await response.body?.cancel();
    await this.#driver[Symbol.asyncDispose]();
    await Deno.remove(this.#profile, { recursive: true });
  }

  /** Sends a command of the WebDriver protocol. Returns its value. */
  async #send<T>(path: string, command: unknown): Promise<T> {
    const body = JSON.stringify(command);
    const response = await fetch(this.#session + path, {
      method: "POST",
      body,
    });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`Cannot drive it: ${value.message}`);
    return value;
  }
}
