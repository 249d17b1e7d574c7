/**
 * Takes the pictures of the live page that README.md and docs/page.md show. It
 * needs chromedriver.
 *
 * ```shell
 * deno task web:pictures
 * ```
 *
 * @module
 */

import { Browser, type Screen, startPage } from "./testing.ts";

const PICTURES: Record<string, Screen> = {
  "docs/page.png": { width: 1280, height: 452 },
  "docs/page_narrow.png": {
    width: 390,
    height: 874,
    media: { "prefers-color-scheme": "dark" },
  },
};

await using page = await startPage(["--demo"]);
await using browser = await Browser.start();
for (const [file, screen] of Object.entries(PICTURES)) {
  await browser.show(screen);
  await browser.open(page.url);
  await browser.says(/ Paused\.$/);
  await browser.waitFor("return document.getAnimations().length === 0");
  const shot = await browser.devTools("Page.captureScreenshot", {});
  const { data } = shot as { data: string };
  await Deno.writeFile(file, Uint8Array.fromBase64(data));
  console.log(file);
}
