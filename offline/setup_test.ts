/**
 * Runs setup.ts in copies of the project, with a registry on this machine that
 * answers as JSR and npm do, or as a bad network does.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import project from "../deno.json" with { type: "json" };
import {
  freePort,
  type Script,
  startProcess,
  test,
  until,
  within,
} from "../tests/testing.ts";

/** How many seconds setup may take on a machine as busy as can be. */
const PLENTY = "600";

/** What setup says. */
const GETTING =
  `setup: getting @std from JSR and fast-check from npm, for ${PLENTY} seconds at most\n`;
const STAND_INS =
  "setup: the stand-ins in offline/ take its place (to ask JSR again, delete vendor/)\n";
const NO_NPM =
  "setup: everything works but the tests and deno task fuzz, which will ask npm again\n";
const DONE = "setup: done\n";

// Setup has nothing to get if @std is linked, as CONTRIBUTING describes.
const config = { ...project, links: undefined };
/** What the task gives Deno. */
const TASK_FLAGS = config.tasks.setup.command.split(" ").slice(2, -1);
const NO_WRITE = TASK_FLAGS.filter((flag) => !flag.includes("write"));

/** A registry, or what a network puts in its place. */
type Registry = (request: Request) => Response | Promise<Response>;

/** Delivers the stand-ins as packages of JSR, with a line added, and an empty fast-check. */
const deliver: Registry = async ({ url }) => {
  const { pathname } = new URL(url);
  if (pathname === "/fast-check") {
    const [, version] = config.scopes["./"]["fast-check"].split("@");
    const dist = { tarball: new URL("/empty.tgz", url) };
    const versions = { [version]: { name: "fast-check", version, dist } };
    return Response.json({ name: "fast-check", versions });
  }
  if (pathname === "/empty.tgz") {
    const tar = new Blob([new Uint8Array(1024)]).stream();
    return new Response(tar.pipeThrough(new CompressionStream("gzip")));
  }
  // Not imported on top: it needs permissions that plain `deno test` has not.
  const { packStandIns } = await import("./setup.ts");
  const files = await packStandIns();
  const text = files[pathname.slice(1)];
  if (text === undefined) return new Response("Not found", { status: 404 });
  if (pathname.endsWith(".ts")) return new Response(text + FROM_JSR);
  if (!pathname.endsWith("_meta.json")) return new Response(text);
  const { exports } = JSON.parse(text);
  const file = String(Object.values(exports)[0]).slice(1);
  const module = files[pathname.slice(1).replace("_meta.json", file)];
  const bytes = new TextEncoder().encode(module + FROM_JSR);
  const sha = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const checksum = `sha256-${sha.toHex()}`;
  return Response.json({
    manifest: { [file]: { size: bytes.length, checksum } },
    exports,
  });
};
const FROM_JSR = `console.log("From JSR");\n`;

const refuse: Registry = () => new Response("No", { status: 403 });

/** Sends the page on which a hotel's guests log in. */
const intercept: Registry = () =>
  new Response("<!doctype html><title>Log in</title>", {
    headers: { "content-type": "text/html" },
  });

/** Answers with a name that clears a terminal. */
const sendControls: Registry = () =>
  Response.json({ scope: "std", name: "\x1b[2J\u202e", versions: {} });

/** Begins an answer, and never ends it. */
const stall: Registry = () => {
  stalled++;
  const cancel = () => void stalled--; // The client is gone.
  return new Response(new ReadableStream({ cancel }));
};
let stalled = 0;

/** Delivers one module of three. */
const deliverPart: Registry = (request) =>
  /(parse_args|colors)\.ts$/.test(request.url)
    ? stall(request)
    : deliver(request);

/** Asks one registry for JSR's packages, and another for npm's. */
function both(jsr: Registry, npm: Registry): Registry {
  return (request) =>
    request.url.includes("/@std/") ? jsr(request) : npm(request);
}

/** The files that setup needs. */
const FILES = [
  "offline/setup.ts",
  "offline/offline_test.ts",
  "offline/assert/mod.ts",
  "offline/cli/parse_args.ts",
  "offline/fmt/colors.ts",
];

/** A copy of the project, on a machine that has nothing cached. */
class Project implements AsyncDisposable {
  registry: Registry;
  readonly #folder = Deno.makeTempDirSync({ prefix: "a project " });
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => this.registry(request),
  );
  port = this.#server.addr.port;

  constructor(registry: Registry) {
    this.registry = registry;
    this.write("deno.json", JSON.stringify(config));
    for (const file of FILES) this.write(file, read(file));
  }

  write(file: string, text: string): void {
    const path = `${this.#folder}/${file}`;
    Deno.mkdirSync(path.replace(/[^/]+$/, ""), { recursive: true });
    Deno.writeTextFileSync(path, text);
  }

  remove(file: string): void {
    Deno.removeSync(`${this.#folder}/${file}`, { recursive: true });
  }

  /** Starts Deno in the copy. */
  deno(args: string[], env: Record<string, string> = {}): Script {
    const registry = `http://127.0.0.1:${this.port}/`;
    return startProcess([Deno.execPath(), ...args], {
      cwd: this.#folder,
      env: {
        DENO_DIR: `${this.#folder}/cache`,
        JSR_URL: registry,
        NPM_CONFIG_REGISTRY: registry,
        ...env,
      },
    });
  }

  /** Starts setup as the task does, with other flags for Deno. */
  startSetup(
    args = [PLENTY],
    flags = TASK_FLAGS,
    env?: Record<string, string>,
  ): Script {
    return this.deno(["run", ...flags, "offline/setup.ts", ...args], env);
  }

  /** Runs setup. Returns what it says. */
  async setup(
    { args, flags, env, exitCode = 0 }: {
      args?: string[];
      flags?: string[];
      env?: Record<string, string>;
      exitCode?: number;
    } = {},
  ): Promise<string> {
    await using setup = this.startSetup(args, flags, env);
    const { code, stdout, stderr } = await setup.result();
    assertEquals({ code, stdout }, { code: exitCode, stdout: "" }, stderr);
    return stderr;
  }

  /** Checks that all of @std is from one source and works without a registry, and that setup has no more to do. Returns what the modules print. */
  async check(source: "JSR" | "offline/"): Promise<string> {
    this.registry = stall;
    await using test = this.deno(
      ["test", "--cached-only", "--no-check", "offline/offline_test.ts"],
    );
    const { code, stdout, stderr } = await test.result();
    assertEquals(code, 0, stdout + stderr);
    const fromJsr = stdout.match(/^From JSR$/gm)?.length ?? 0;
    assertEquals(fromJsr, source === "JSR" ? 3 : 0);
    assertEquals(await this.setup(), "");
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Returns the text of a file of this project. */
function read(file: string): string {
  return Deno.readTextFileSync(new URL(`../${file}`, import.meta.url));
}

test("setup gets @std from JSR and fast-check from npm", async () => {
  await using project = new Project(deliver);
  assertEquals(await project.setup(), GETTING + DONE);
  await project.check("JSR");
});

/** What may be wrong with both registries, and how setup ends its lines about JSR and npm. */
const FAULTS: [
  what: string,
  registry: Registry,
  jsr: RegExp,
  npm: RegExp,
  args?: string[],
][] = [
  ["refuse", refuse, /failed: 403 Forbidden$/, /"fast-check"$/, []],
  ["are a login page", intercept, /'@std\/assert' failed/, /"fast-check"$/],
  ["send control characters", sendControls, /@std\/assert/, /\[2J '/],
  ["stall", stall, /more than 0.5 seconds$/, /more than 0.5 seconds$/, ["0.5"]],
  ["cannot be reached", stall, /@std\/assert/, /"fast-check"|127\.0\.0\.1/],
];
for (const [what, registry, jsr, npm, args = [PLENTY]] of FAULTS) {
  test(`setup lays out the stand-ins if the registries ${what}`, async () => {
    await using project = new Project(registry);
    if (what === "cannot be reached") project.port = freePort();
    const says = await project.setup({ args, env: { FORCE_COLOR: "1" } });
    const lines = says.split(/^/m);
    const [jsrFault] = lines.splice(1, 1);
    const [npmFault] = lines.splice(2, 1);
    assertEquals(lines, [
      GETTING.replace(PLENTY, args[0] ?? "20"),
      STAND_INS,
      NO_NPM,
      DONE,
    ]);
    assertMatch(jsrFault, /^setup: cannot get @std from JSR: \P{C}+\n$/u);
    assertMatch(jsrFault.trim(), jsr);
    assertMatch(npmFault, /^setup: cannot get fast-check from npm: \P{C}+\n$/u);
    assertMatch(npmFault.trim(), npm);
    await project.check("offline/");
  });
}

test("setup gets from one registry what it can if the other refuses", async () => {
  await using withoutJsr = new Project(both(refuse, deliver));
  assert(!(await withoutJsr.setup()).includes(NO_NPM));
  await withoutJsr.check("offline/");

  await using withoutNpm = new Project(both(deliver, refuse));
  assert(!(await withoutNpm.setup()).includes(STAND_INS));
  await withoutNpm.check("JSR");
});

test("setup lays out the stand-ins if JSR stalls half way", async () => {
  await using project = new Project(deliverPart);
  assertMatch(
    await project.setup({ args: ["0.5"] }),
    /: it took more than 0.5 seconds$/m,
  );
  await project.check("offline/");
});

test("setup gets @std after Deno kept a login page in its place", async () => {
  await using project = new Project(intercept);
  await using test = project.deno(["check", "offline/offline_test.ts"]);
  const { code } = await test.result();
  assertEquals(code, 1);
  project.registry = deliver;
  assertEquals(await project.setup(), GETTING + DONE);
  await project.check("JSR");
});

test("setup exchanges all packages if the version of one changes", async () => {
  await using project = new Project(refuse);
  const older = { ...config.imports, "@std/fmt": "jsr:@std/fmt@1.0.0" };
  project.write("deno.json", JSON.stringify({ ...config, imports: older }));
  await project.setup();
  project.write("deno.json", JSON.stringify(config));
  project.registry = deliver;
  assertEquals(await project.setup(), GETTING + DONE);
  await project.check("JSR");
});

test("setup lays out a stand-in that was edited, and says nothing", async () => {
  await using project = new Project(refuse);
  await project.setup();
  const edited = `${read("offline/fmt/colors.ts")}console.log("Edited");\n`;
  project.write("offline/fmt/colors.ts", edited);
  assertEquals(await project.setup(), "");
  assertMatch(await project.check("offline/"), /^Edited$/m);
});

test("two setups at the same time fill vendor/ once", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  await using project = new Project(async (request) => {
    asked.resolve();
    await answer.promise;
    return deliver(request);
  });
  await using first = project.startSetup();
  await within(asked.promise, () => "a request");
  await using second = project.startSetup();
  await second.stderr.waitFor(/waiting/);
  answer.resolve();
  assertEquals((await first.result()).stderr, GETTING + DONE);
  const { code, stderr } = await second.result();
  assertEquals(code, 0);
  assertEquals(stderr, "setup: waiting for the setup of another task\n");
  await project.check("JSR");
});

test.onPosix("a setup that was stopped leaves nothing that later passes for right", async () => {
  await using project = new Project(refuse);
  await project.setup();
  const newer = { ...config.imports, "@std/fmt": "jsr:@std/fmt@2.0.0" };
  project.write("deno.json", JSON.stringify({ ...config, imports: newer }));
  project.registry = stall;
  await using stopped = project.startSetup();
  await until(() => "a download", () => stalled > 0);
  stopped.kill("SIGTERM");
  await stopped.result();
  project.write("deno.json", JSON.stringify(config));
  project.registry = refuse;
  assertMatch(await project.setup(), /stand-ins/);
  await project.check("offline/");
});

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
for (const [signal, exitCode] of Object.entries(SIGNALS)) {
  test.onPosix(`${signal} ends setup and its downloads, and the next setup starts again`, async () => {
    await using project = new Project(both(deliverPart, stall));
    await using setup = project.startSetup();
    await until(
      () => "two modules and fast-check",
      () => stalled === 3,
    );
    setup.kill(signal as Deno.Signal);
    const { code, stderr } = await setup.result();
    assertEquals({ code, stderr }, { code: exitCode, stderr: GETTING });
    await until(
      () => "the end of the downloads",
      () => stalled === 0,
    );
    project.registry = refuse;
    assertMatch(await project.setup(), /stand-ins/);
    await project.check("offline/");
  });
}

test("setup without permission to write says nothing if vendor/ is right", async () => {
  await using project = new Project(deliver);
  await project.setup();
  const onlyRead = TASK_FLAGS.filter((flag) => /read|env/.test(flag));
  for (const flags of [onlyRead, NO_WRITE]) {
    assertEquals(await project.setup({ flags }), "");
    // Then without the marker, as if Deno alone had filled vendor/.
    if (flags === onlyRead) project.remove("vendor/setup.txt");
  }
});

test("setup without permission to write says what to do if vendor/ is missing", async () => {
  await using project = new Project(deliver);
  assertMatch(
    await project.setup({ flags: NO_WRITE, exitCode: 1 }),
    /^error: cannot fill vendor\/: .+\. Use a copy of the project in a folder that you may write to\n$/,
  );
});

for (const seconds of ["0", "1e9", "ten"]) {
  test(`setup refuses to wait ${seconds} seconds`, async () => {
    await using project = new Project(deliver);
    assertEquals(
      await project.setup({ args: [seconds], exitCode: 2 }),
      `error: setup takes a number of seconds, not "${seconds}"\n`,
    );
  });
}

for (const version of ["1.46.3", "2.8.3", "2.10.0"]) {
  const isAccepted = version === "2.10.0";
  test(`setup ${isAccepted ? "accepts" : "refuses"} Deno ${version}`, async () => {
    await using project = new Project(deliver);
    project.write(
      "version.ts",
      `Object.defineProperty(Deno, "version", { value: { deno: "${version}" } });`,
    );
    const flags = [...TASK_FLAGS, "--preload=version.ts"];
    const exitCode = isAccepted ? 0 : 1;
    const refusal =
      `error: this project needs Deno 2.9 or later, and this is ${version}. To upgrade: deno upgrade\n`;
    assertEquals(
      await project.setup({ flags, exitCode }),
      isAccepted ? GETTING + DONE : refusal,
    );
  });
}
