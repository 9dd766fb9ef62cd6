// Drives the console and browser_client.html in a headless Chromium against a
// server whose log grows, through outages: what is on the page afterwards must
// be what the log has, every event once and in order.
//
//   node browser.mjs [BASE_URL]      needs: Chromium in PATH, or its path in CHROMIUM
//
// The publishers of the server are to send events of the type data only, and
// the server is to allow the origin "null", which a page from disk has.
import { strict as assert } from "node:assert";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";
import { startProxy } from "./proxy.mjs";

const base = process.argv[2] ?? "http://localhost:8000";
const PATIENCE_MS = 60_000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    for (const dir of process.env.PATH.split(delimiter)) {
      try {
        accessSync(join(dir, name), constants.X_OK);
        return join(dir, name);
      } catch { /* the next one */ }
    }
  }
  throw new Error("no Chromium in PATH: install it, or set CHROMIUM to its path");
}

// log reads ids of data events straight from the server, after one and up to another.
async function log(after, last) {
  const abort = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(`${base}/stream`, { headers: { "Last-Event-ID": after }, signal: abort });
  const ids = [];
  let text = "";
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const id = /^id: (.*)$/m.exec(block)[1];
      if (/^event: data$/m.test(block)) ids.push(id);
      if (id >= last) return ids;
    }
  }
  throw new Error(`the log ended before ${last}`);
}

// open gives a page that fails the run on any script error or policy violation.
async function open(browser, url, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) errors.push(message.text());
  });
  await page.goto(String(url));
  const number = async (id) => Number((await page.textContent(`#${id}`)).replace(/\D/g, ""));
  return {
    page,
    number,
    text: (selector) => page.textContent(selector),
    state: (pattern) => page.locator("#state", { hasText: pattern }).waitFor(),
    more: async (id, n = 1) => {
      const from = await number(id);
      await page.waitForFunction(([id, least]) => Number(document.getElementById(id).textContent.replace(/\D/g, "")) >= least, [id, from + n]);
    },
    done: async () => {
      assert.deepEqual(errors, []);
      await context.close();
    },
  };
}

// outages takes the server away in the two ways that a browser meets.
async function outages(view, proxy) {
  await view.state(/live/i);
  await view.more("events", 5);

  await proxy.down();
  await view.state(/reconnecting/i);
  await proxy.up();
  await view.state(/live/i);
  await view.more("events", 5);
  assert.equal(await view.number("reconnects"), 1);

  // An answer other than 200 stops an EventSource for good.
  proxy.fail();
  proxy.cut();
  await view.state(/next try/i);
  proxy.heal();
  await view.state(/live/i);
  await view.more("events", 5);
  assert.equal(await view.number("reconnects"), 2);
}

// complete compares the ids on the page, newest first, with the log.
async function complete(ids) {
  const shown = ids.reverse();
  assert.ok(shown.length > 10, `${shown.length} events are too few to tell`);
  assert.deepEqual(shown.slice(1), await log(shown[0], shown.at(-1)));
  return shown.length;
}

async function checkConsole(browser, proxy) {
  const view = await open(browser, `${proxy.url}/console`, {});
  await view.page.selectOption("#keep", "1000");
  await view.page.focus("#topics");
  await view.page.keyboard.press("Enter"); // connects without a mouse
  await outages(view, proxy);
  assert.match(await view.text("#notices"), /Resumed, nothing missing/);

  await view.page.click("#pause");
  const rows = await view.page.locator("#list li").count();
  await view.more("events", 3);
  assert.equal(await view.page.locator("#list li").count(), rows, "a paused list stands still");
  await view.page.click("#pause");

  await view.page.click("#disconnect");
  await view.state(/disconnected/i);
  await view.page.waitForFunction((n) => document.querySelectorAll("#list li").length > n, rows);
  const n = await complete(await view.page.locator('#list li[data-type="data"] .mono').evaluateAll((all) => all.map((e) => e.title)));

  await view.page.selectOption("#start", "resume");
  await view.page.fill("#from", "no-such-id");
  await view.page.click("#connect");
  await view.page.locator("#notices", { hasText: "Gap: unknown" }).waitFor();
  await view.page.click("#disconnect");

  await view.page.fill("#topics", "a..b");
  await view.page.click("#connect");
  await view.state(/refused/i);
  assert.match(await view.text("#notices"), /400/);
  await view.done();
  console.log(`console: ${n} events in order across 2 outages`);
}

async function checkPhone(browser, proxy) {
  const view = await open(browser, `${proxy.url}/console`, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
  await view.page.tap("#connect");
  await view.more("events", 2);
  const wide = await view.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px wider than a phone`);
  const small = await view.page.$$eval("input, select, button", (all) => all.filter((e) => parseFloat(getComputedStyle(e).fontSize) < 16).length);
  assert.equal(small, 0, "phones zoom into fields below 16 px");
  await view.done();
  console.log("console on a phone: fits");
}

async function checkFile(browser, proxy) {
  const view = await open(browser, new URL("../browser_client.html", import.meta.url), {});
  await view.page.fill("#url", `${proxy.url}/stream`);
  await view.page.click("#connect");
  await outages(view, proxy);
  assert.match(await view.text("#notice"), /Resumed, nothing missing/);
  await view.page.click("#disconnect");
  const n = await complete(await view.page.locator("#list li").evaluateAll((all) => all.map((e) => e.title)));
  await view.done();
  console.log(`browser_client.html: ${n} events in order across 2 outages`);
}

const browser = await chromium.launch({ executablePath: findChromium(), args: FLAGS });
try {
  for (const check of [checkConsole, checkPhone, checkFile]) {
    const proxy = await startProxy(base);
    await check(browser, proxy);
    await proxy.down();
  }
} finally {
  await browser.close();
}
