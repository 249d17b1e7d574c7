/** Runs setup with a server of the test in the place of JSR. @module */

import { assertEquals, assertMatch } from "@std/assert";
import { hash } from "node:crypto";
import { cp } from "node:fs/promises";
import config from "../deno.json" with { type: "json" };
import { startProcess, test, within } from "../tests/testing.ts";
import { STAND_INS } from "./setup.ts";

const here = new URL(".", import.meta.url);
const [, ...SETUP] = config.tasks.setup.command.split(" ");
const PROGRAM = `import "@std/assert";
import "@std/cli/parse-args";
import "@std/fmt/colors";`;

/** Returns what JSR sends for a path: a stand-in as a package, with a line added. */
async function deliver(path: string): Promise<string> {
  const [, name, rest] = /@std\/(\w+)\/(.*)$/.exec(path)!;
  const [, as, file] = STAND_INS.find(([one]) => one === name)!;
  const [version] = /\d.*/.exec(config.imports[`@std/${name}` as "@std/cli"])!;
  if (rest === "meta.json") {
    return JSON.stringify({ scope: "std", name, versions: { [version]: {} } });
  }
  const source = await Deno.readTextFile(new URL(file, here));
  const code = `${source}console.log("from JSR");\n`;
  if (rest.endsWith(".ts")) return code;
  const checksum = `sha256-${hash("sha256", code)}`;
  const manifest = { [`/${file}`]: { size: code.length, checksum } };
  return JSON.stringify({ exports: { [as]: `./${file}` }, manifest });
}
const tamper = async (path: string) =>
  await deliver(path) + (path.endsWith(".ts") ? "// more" : "");
const askToLogIn = () => "<p>Log in to the network";
const hang = () => new ReadableStream<Uint8Array<ArrayBuffer>>();

test("setup gets the packages once, or uses the stand-ins if JSR does not deliver", async () => {
  let registry: (path: string) => BodyInit | Promise<BodyInit> = hang;
  const asked = Promise.withResolvers<void>();
  const stop = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: stop.signal, onListen() {} },
    async ({ url }) => {
      asked.resolve();
      return new Response(await registry(url));
    },
  );

  const cwd = await Deno.makeTempDir({ prefix: "Übung (1) " });
  const text = JSON.stringify({ ...config, links: undefined });
  await Deno.writeTextFile(`${cwd}/deno.json`, text.replace("fmt@1", "fmt@0"));
  await cp(here, `${cwd}/offline`, { recursive: true });
  await Deno.writeTextFile(`${cwd}/program.ts`, PROGRAM);

  const JSR_URL = `http://127.0.0.1:${server.addr.port}/`;
  function start(args: string[], cache: string) {
    const env = { JSR_URL, DENO_DIR: `${cwd}/${cache}` };
    return startProcess([Deno.execPath(), ...args], { cwd, env });
  }
  async function run(args: string[], cache: string): Promise<string> {
    await using process = start(args, cache);
    const { code, stdout, stderr } = await process.result();
    assertEquals(code, 0, stderr);
    return stdout + stderr;
  }
  const setUp = () => run([...SETUP, registry === hang ? "1" : "60"], "a");
  /** Runs a program with what setup has left, and nothing else. */
  async function usesPackages(): Promise<boolean> {
    registry = hang;
    return (await run(["run", "program.ts"], "b")).includes("from JSR");
  }

  await using killed = start([...SETUP, "60"], "a");
  await within(asked.promise, () => "a request");
  killed.kill("SIGKILL");
  registry = askToLogIn;
  assertMatch(await setUp(), /@std\/.*\n.*stand-ins/);
  assertEquals(await setUp(), "");
  assertEquals(await usesPackages(), false);

  await Deno.writeTextFile(`${cwd}/deno.json`, text);
  registry = deliver;
  assertMatch(await setUp(), /^setup: getting .*\nsetup: done\n$/);
  assertEquals(await setUp(), "");
  assertEquals(await usesPackages(), true);

  for (const fault of [tamper, hang]) {
    await Deno.remove(`${cwd}/vendor`, { recursive: true });
    registry = fault;
    assertMatch(await setUp(), /stand-ins/);
    assertEquals(await usesPackages(), false);
  }

  stop.abort();
  await server.finished;
  await Deno.remove(cwd, { recursive: true });
});
