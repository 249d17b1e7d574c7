/**
 * Makes sure that `vendor/` holds the packages from JSR which deno.json names:
 * the real ones where JSR answers, else the stand-ins beside this file, laid
 * out as Deno lays out packages. From then on everything runs offline. Every
 * task of deno.json runs this first; it costs one look at `vendor/`.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

/** How long JSR may take: a proxy that swallows packets never says no. */
const PATIENCE = 20_000;

/** The stand-ins: where in offline/, and as what the package exports them. */
const STAND_INS = [
  { name: "assert", file: "mod.ts", as: "." },
  { name: "cli", file: "parse_args.ts", as: "./parse-args" },
  { name: "fmt", file: "colors.ts", as: "./colors" },
] as const;

const root = new URL("../", import.meta.url);
const vendor = new URL("vendor/", root);
/** Says what vendor/ holds, for which versions. */
const marker = new URL("setup.json", vendor);

const wanted = Object.values(config.imports).join(" ");

async function main(): Promise<void> {
  const { source, packages } = await readMarker();
  if (source === "JSR" && packages === wanted) return report("JSR");
  if (source === "offline/" && packages === wanted) {
    await layOutStandIns(); // They may have been edited.
    return report("offline/");
  }
  console.error("setup: asking JSR for @std, this may take some seconds");
  const isReal = await cache("offline/offline_test.ts"); // It imports all of it.
  if (!isReal) {
    await removeVendor(); // It may hold a part of what was wanted.
    await layOutStandIns();
  }
  if (!await cache("framing_test.ts")) {
    console.error("setup: npm did not answer: everything runs but the tests");
  }
  await writeMarker(isReal ? "JSR" : "offline/");
  report(isReal ? "JSR" : "offline/");
}

function report(source: string): void {
  console.error(
    source === "JSR"
      ? "setup: using @std from JSR (in vendor/)"
      : "setup: offline/ stands in for @std, as JSR was out of reach (to try again, delete vendor/)",
  );
}

async function readMarker(): Promise<{ source?: string; packages?: string }> {
  try {
    return JSON.parse(await Deno.readTextFile(marker));
  } catch {
    return {};
  }
}

async function writeMarker(source: string): Promise<void> {
  await Deno.mkdir(vendor, { recursive: true });
  await Deno.writeTextFile(
    marker,
    JSON.stringify({ source, packages: wanted }),
  );
}

/** Has Deno get all that a module imports; whether it could. */
async function cache(module: string): Promise<boolean> {
  const deno = new Deno.Command(Deno.execPath(), {
    args: ["cache", "--quiet", module],
    cwd: root,
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(PATIENCE),
  });
  return (await deno.output()).success;
}

async function removeVendor(): Promise<void> {
  try {
    await Deno.remove(vendor, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function layOutStandIns(): Promise<void> {
  for (const { name, file, as } of STAND_INS) {
    const [, version] = config.imports[`@std/${name}`].split(/@(?=\d)/);
    const folder = new URL(`jsr.io/@std/${name}/`, vendor);
    await Deno.mkdir(new URL(`${version}/`, folder), { recursive: true });
    await write(
      new URL(`${version}/${file}`, folder),
      await Deno.readTextFile(new URL(`offline/${name}/${file}`, root)),
    );
    await writeJson(new URL("meta.json", folder), {
      scope: "std",
      name,
      latest: version,
      versions: { [version]: {} },
    });
    await writeJson(new URL(`${version}_meta.json`, folder), {
      manifest: {},
      exports: { [as]: `./${file}` },
    });
  }
}

async function writeJson(file: URL, value: unknown): Promise<void> {
  await write(file, JSON.stringify(value));
}

/** Leaves alone a file that holds this already: a task that was started at the same time may be reading it. */
async function write(file: URL, text: string): Promise<void> {
  const held = await Deno.readTextFile(file).catch(() => undefined);
  if (held !== text) await Deno.writeTextFile(file, text);
}

if (import.meta.main) await main();
