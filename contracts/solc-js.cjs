#!/usr/bin/env node
// A native-looking solc on top of solc-js: `--version` and `--standard-json` (stdin to stdout), which is what forge and
// py-solc-x ask for. solc-js prints notices to stdout, so nothing but the JSON may pass.
const path = require("node:path");
const fs = require("node:fs");
const modules = process.env.FFEM_NODE_MODULES || path.join(__dirname, "..", "devnet", "node_modules");
const solc = require(path.join(modules, "solc"));

if (process.argv.includes("--version")) {
  const version = solc.version().replace(/\.Emscripten.*$/, "") + ".Emscripten.clang";
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8")) + "\n");
} else {
  process.stderr.write("solc-js.cjs: only --version and --standard-json\n");
  process.exit(2);
}
