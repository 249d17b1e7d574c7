/**
 * Drives Chromium through chromedriver, over WebDriver with `fetch` alone.
 *
 * @module
 */

import { type Script, startProcess, until } from "../tests/testing.ts";

// As root, as in a container, Chromium starts without its sandbox only.
const FLAGS =
  "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --hide-scrollbars";

/** A headless Chromium with one page. Disposing of it ends all its processes. */
export class Browser implements AsyncDisposable {
  readonly #driver: Script = startProcess(["chromedriver", "--port=0"]);
  #session = "";

  /** Starts the browser. */
  async start(): Promise<void> {
    const [, port] = await this.#driver.stdout.waitFor(/success.* port (\d+)/);
    this.#session = `http://127.0.0.1:${port}/session`;
    const options = { "goog:chromeOptions": { args: FLAGS.split(" ") } };
    const command = { capabilities: { alwaysMatch: options } };
    const session = await this.#send<{ sessionId: string }>("", command);
    this.#session += `/${session.sessionId}`;
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
  get<T = unknown>(expression: string): Promise<T> {
    const script = `return ${expression}`;
    return this.#send("/execute/sync", { script, args: [] });
  }

  /** Returns the text of an element. */
  text(selector: string): Promise<string> {
    return this.get(`document.querySelector("${selector}").textContent`);
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

  /** Presses a key. A special one is a character of WebDriver's. */
  async press(value: string): Promise<void> {
    const actions = ["keyDown", "keyUp"].map((type) => ({ type, value }));
    const keyboard = { type: "key", id: "keyboard", actions };
    await this.#send("/actions", { actions: [keyboard] });
  }

  /** Sends a command of the Chrome DevTools Protocol. Returns its result. */
  devTools<T>(cmd: string, params: unknown = {}): Promise<T> {
    return this.#send("/goog/cdp/execute", { cmd, params });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#session !== "") {
      const response = await fetch(this.#session, { method: "DELETE" });
      await response.body?.cancel();
    }
    await this.#driver[Symbol.asyncDispose]();
  }

  /** Sends a command of the WebDriver protocol. Returns its value. */
  async #send<T>(path: string, command: unknown): Promise<T> {
    const init = { method: "POST", body: JSON.stringify(command) };
    const response = await fetch(this.#session + path, init);
    const { value } = await response.json();
    if (!response.ok) throw new Error(`Cannot drive it: ${value.message}`);
    return value;
  }
}
