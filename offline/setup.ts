/**
 * Fills `vendor/` with the packages from JSR that deno.json names: the real
 * ones if JSR delivers them, otherwise the stand-ins beside this file. Every
 * task of deno.json runs this first. It says nothing if `vendor/` is right.
 *
 * ```shell
 * deno task setup
 * deno task setup 120   # wait up to 120 seconds on a slow network
 * ```
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

/** The oldest version that is tested. With 2.6, a server stops serving after resets. */
const OLDEST_DENO = "2.9";

/** The signals that end setup, and the exit code of each. */
const SIGNALS = Deno.build.os === "windows"
  ? { SIGINT: 130 }
  : { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

const root = new URL("../", import.meta.url);
const vendor = new URL("vendor/", root);

const registry = new URL(Deno.env.get("JSR_URL") ?? "https://jsr.io/");
/** The folder in which Deno keeps what it gets from the registry. */
const packages = new URL(
  (registry.protocol === "http:" ? "http_" : "") +
    registry.host.replace(":", "_") + registry.pathname,
  vendor,
);

/** Names what `vendor/` holds. It is written last, so that a setup that was stopped starts again. */
const marker = new URL("setup.txt", vendor);
const wanted = [registry, ...Object.values(config.imports)].join("\n");

/** Imports all of @std that this project uses. */
const STD_USER = "offline/offline_test.ts";

/** The stand-ins: the package, the file, and the export that it is. */
const STAND_INS = [
  ["assert", "mod.ts", "."],
  ["cli", "parse_args.ts", "./parse-args"],
  ["fmt", "colors.ts", "./colors"],
] as const;

/** Returns the stand-ins as a registry has packages: the text of every file, by path. */
export async function packStandIns(): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const [name, file, as] of STAND_INS) {
    const [, version] = config.imports[`@std/${name}`].split(/@(?=\d)/);
    const source = new URL(`offline/${name}/${file}`, root);
    const folder = `@std/${name}`;
    files[`${folder}/meta.json`] = JSON.stringify({
      scope: "std",
      name,
      versions: { [version]: {} },
    });
    files[`${folder}/${version}_meta.json`] = JSON.stringify({
      manifest: {},
      exports: { [as]: `./${file}` },
    });
    files[`${folder}/${version}/${file}`] = await Deno.readTextFile(source);
  }
  return files;
}

async function main(): Promise<void> {
  const { deno } = Deno.version;
  if (deno.localeCompare(OLDEST_DENO, "en", { numeric: true }) < 0) {
    fail(
      `this project needs Deno ${OLDEST_DENO} or later, and this is ${deno}. To upgrade: deno upgrade`,
    );
  }
  const [argument = "20"] = Deno.args;
  const seconds = Number(argument);
  if (!(seconds > 0 && seconds <= 86_400)) {
    fail(`setup takes a number of seconds, not "${argument}"`, 2);
  }
  try {
    if (await isReady()) return;
    await Deno.mkdir(vendor, { recursive: true });
    // Tasks that start at the same time fill it one after the other.
    const options = { write: true, create: true };
    using lock = await Deno.open(new URL("setup.lock", vendor), options);
    if (!await lock.tryLock(true)) {
      console.error("setup: waiting for the setup of another task");
      await lock.lock(true);
    }
    if (await isReady()) return;
    await fill(seconds);
  } catch (error) {
    // A project that cannot be written to may hold all that is wanted.
    const fault = await download(STD_USER, ["--cached-only"]);
    if (fault !== undefined) {
      fail(
        `cannot fill vendor/: ${
          (error as Error).message
        }. Use a copy of the project in a folder that you may write to`,
      );
    }
  }
}

/** Returns whether `vendor/` is right, with the stand-ins as they are now. */
async function isReady(): Promise<boolean> {
  if (await read(marker) !== wanted) return false;
  const standIns = await packStandIns();
  if (await holdsAny(standIns)) await layOut(standIns);
  return true;
}

/** Fills `vendor/`, and says what it does. */
async function fill(seconds: number): Promise<void> {
  console.error(
    `setup: getting @std from JSR and fast-check from npm, for ${seconds} seconds at most`,
  );
  const stop = new AbortController();
  for (const [signal, code] of Object.entries(SIGNALS)) {
    Deno.addSignalListener(signal as Deno.Signal, () => {
      stop.abort(); // ends the downloads, which are processes
      Deno.exit(code);
    });
  }
  const late = `it took more than ${seconds} seconds`;
  const timer = setTimeout(() => stop.abort(late), seconds * 1000);
  const [stdFault, npmFault] = await Promise.all([
    downloadStd(stop.signal),
    download(config.scopes["./"]["fast-check"], [], stop.signal),
  ]);
  clearTimeout(timer);

  if (stdFault !== undefined) {
    await clear();
    await layOut(await packStandIns());
    console.error(
      `setup: cannot get @std from JSR: ${stdFault}\n` +
        "setup: the stand-ins in offline/ take its place (to ask JSR again, delete vendor/)",
    );
  }
  if (npmFault !== undefined) {
    console.error(
      `setup: cannot get fast-check from npm: ${npmFault}\n` +
        "setup: everything works but the tests and deno task fuzz, which will ask npm again",
    );
  }
  await write(marker, wanted);
  console.error("setup: done");
}

/** Has Deno get @std from JSR. Returns why it could not. */
async function downloadStd(stop: AbortSignal): Promise<string | undefined> {
  if (!await holdsAny(await packStandIns())) {
    const fault = await download(STD_USER, [], stop);
    if (fault === undefined) return;
  }
  // Deno may have kept the login page of a network in place of a package.
  await clear();
  return await download(STD_USER, [], stop);
}

/** Has Deno get a module and all that it imports. Returns why it could not. */
async function download(
  module: string,
  flags: string[],
  stop?: AbortSignal,
): Promise<string | undefined> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet", ...flags, "--entrypoint", module],
    cwd: root,
    env: { FORCE_COLOR: "", NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    signal: stop,
  });
  const { success, stderr } = await command.output();
  if (success) return;
  if (stop?.aborted) return stop.reason;
  const output = new TextDecoder().decode(stderr);
  const [, fault] = /^error: (.*)$/m.exec(output) ?? [];
  return (fault ?? output).replace(/\p{C}+/gu, " ");
}

/** Removes all that is kept of @std. */
async function clear(): Promise<void> {
  for (const url of [marker, packages, new URL("manifest.json", vendor)]) {
    try {
      await Deno.remove(url, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Returns whether `vendor/` holds a stand-in, which its list of exports tells. */
async function holdsAny(standIns: Record<string, string>): Promise<boolean> {
  for (const [path, text] of Object.entries(standIns)) {
    if (!path.endsWith("_meta.json")) continue;
    if (await read(new URL(path, packages)) === text) return true;
  }
  return false;
}

async function layOut(standIns: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(standIns)) {
    await write(new URL(path, packages), text);
  }
}

/** Returns the text of a file, if there is one. */
async function read(file: URL): Promise<string | undefined> {
  return await Deno.readTextFile(file).catch(() => undefined);
}

/** Writes a file at once as a whole, as another task may be reading it. */
async function write(file: URL, text: string): Promise<void> {
  if (await read(file) === text) return;
  await Deno.mkdir(new URL(".", file), { recursive: true });
  const part = new URL(`${file}.${Deno.pid}`);
  await Deno.writeTextFile(part, text);
  await Deno.rename(part, file);
}

/** Ends setup, and with it the task that it is for, with one line on stderr. */
function fail(message: string, code = 1): never {
  console.error(`error: ${message}`);
  Deno.exit(code);
}

if (import.meta.main) await main();
