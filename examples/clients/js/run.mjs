// Runs an adapter in Node:
//
//   node run.mjs ADAPTER URL [needs]
//
// It prints one JSON line for each event, error and end, and ends by itself when
// the client leaves nothing to wait for.
import { writeSync } from "node:fs";
import { kit } from "./kit.js";

const [adapter, url, needs] = process.argv.slice(2);
const say = (line) => writeSync(1, JSON.stringify(line) + "\n");
process.on("uncaughtException", (error) => {
  say({ closed: `uncaught: ${error.message}` });
  process.exit(1);
});
console.log = console.info = console.warn = console.error = console.debug = () => {}; // a client's own words
const { default: open } = await import(`./${adapter}.js`);
open(url, kit(say, needs === "needs"));
