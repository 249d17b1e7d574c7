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

import { Browser, ROOT, type Screen, startPage } from "./testing.ts";

const PICTURES: Record<string, Screen> = {
  "page.png": { width: 1280, height: 452 },
  "page_narrow.png": {
    width: 390,
    height: 844,
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
  await Deno.writeFile(`${ROOT}docs/${file}`, await browser.picture());
  console.log(`docs/${file}`);
}
