/**
 * Gets `@std` for every other task of deno.json: the packages from JSR, or the
 * stand-ins beside this file if JSR does not deliver. From the second time on it
 * reads one file and says nothing. To start again, delete `vendor/`.
 *
 * Deno takes a member of the workspace for the package of the same name, and
 * deno.json makes the folders in `vendor/offline/` members. So a stand-in is in
 * use when there is a folder for it.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

/** How long JSR may take, in seconds. On a slow network: deno task setup 60 */
const limit = Number(Deno.args[0]) || 15;

/** The packages, what the project imports of them, and the file that stands in for it. */
export const STAND_INS = [
  ["assert", ".", "assert.ts"],
  ["cli", "./parse-args", "parse_args.ts"],
  ["fmt", "./colors", "colors.ts"],
] as const;

const vendor = new URL("../vendor/", import.meta.url);
const members = new URL("offline/", vendor);

/** It is written last, so a setup that was stopped starts again. */
const marker = new URL("setup.txt", vendor);
const wanted = JSON.stringify([config.imports, STAND_INS]);

async function setUp(): Promise<void> {
  console.error(`setup: getting @std from JSR, for ${limit} seconds at most`);
  await Deno.mkdir(vendor, { recursive: true });
  const fault = await download();
  if (fault === undefined) {
    await Deno.remove(members, { recursive: true }).catch(() => {}); // none
  } else {
    await useStandIns();
    console.error(`setup: ${fault}
setup: using the stand-ins in offline/ (to ask JSR again, delete vendor/)`);
  }
  await write(marker, wanted);
  console.error("setup: done");
}

/** Has Deno get the packages from JSR. Returns why it could not. */
async function download(): Promise<string | undefined> {
  const modules = STAND_INS.map(([name, path]) =>
    config.imports[`@std/${name}`] + path.slice(1)
  );
  const timeout = AbortSignal.timeout(limit * 1000);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    // Without deno.json, Deno knows of no members. It loads everything again, as
    // it may have kept the login page of a network in the place of a package.
    args: ["cache", "--no-config", "--vendor", "--reload", ...modules],
    cwd: new URL("../", import.meta.url),
    env: { NO_COLOR: "1", FORCE_COLOR: "" },
    signal: timeout,
  }).output();
  if (success) return;
  if (timeout.aborted) return `no answer within ${limit} seconds`;
  const text = new TextDecoder().decode(stderr);
  const [, message] = text.match(/^error: (.*)/m) ?? [];
  return (message ?? text).replace(/\p{C}/gu, " "); // it may quote the network
}

async function useStandIns(): Promise<void> {
  if (/[[*?]/.test(decodeURIComponent(members.pathname))) {
    throw new Error("rename the folder that has [, * or ? in its name");
  }
  for (const [name, path, file] of STAND_INS) {
    const exports = { [path]: `./../../../offline/${file}` };
    const member = { name: `@std/${name}`, exports };
    const text = JSON.stringify(member, null, 2) + "\n"; // as deno fmt wants it
    await write(new URL(`${name}/deno.json`, members), text);
  }
}

/** Writes a file in one step: Deno does not start if it finds half a deno.json. */
async function write(file: URL, text: string): Promise<void> {
  const part = new URL(`${file}.${Deno.pid}`);
  await Deno.mkdir(new URL(".", file), { recursive: true });
  await Deno.writeTextFile(part, text);
  await Deno.rename(part, file);
}

const isMain = import.meta.main;
if (isMain && await Deno.readTextFile(marker).catch(() => "") !== wanted) {
  await setUp().catch((error) => {
    console.error(`error: cannot set up vendor/: ${error.message}`);
    Deno.exit(1);
  });
}
