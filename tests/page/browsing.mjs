// A browser with the page open in it, for the tests beside this file. `browser.py` builds the pages, serves them, and has
// PyTorch's answers: PAGES=pages.json node --test --test-concurrency=1 tests/page
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const { chromium: executablePath, urls, files, screenshots, expected } = JSON.parse(await readFile(process.env.PAGES));
export let browser, page;
export const launch = (...options) => chromium.launch({ executablePath, args: ["--no-sandbox", ...options] });
export const asked = []; // every URL

const complaints = []; // errors that nobody sees

before(async () => {
  browser = await launch();
  page = await open(urls.page);
});
after(async () => {
  await browser?.close();
  assert.deepEqual(complaints, []);
});

/** The page of a URL, ready, with the first answers; `script` runs in it before anything else. */
export async function open(url, { from = browser, script = () => {} } = {}) {
  const opened = await from.newPage({ viewport: { width: 1280, height: 900 } });
  await opened.addInitScript(script);
  opened.on("request", (request) => asked.push(request.url()));
  opened.on("pageerror", (error) => complaints.push(String(error)));
  opened.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await opened.goto(url);
  await opened.waitForFunction(() => !document.getElementById("main").inert, null, { timeout: 60_000 });
  await settled(opened);
  return opened;
}

export const settled = (on = page) =>
  on.waitForFunction(
    () => document.querySelector("#few .text").textContent && !document.querySelector("main [aria-busy]"),
    null,
    { timeout: 60_000 },
  );
export const text = (selector, on = page) => on.locator(selector).textContent();
export const slide = (keep, on = page) =>
  on.locator("#keep").evaluate((slider, keep) => {
    slider.value = keep;
    slider.dispatchEvent(new Event("input"));
  }, keep);

export async function pick(scene) {
  await page.locator("#scenes button").nth(scene).click();
  await page.locator(`#scenes button:nth-child(${scene + 1})[aria-pressed="true"]`).waitFor();
  await settled();
}

export async function ask(question) {
  await page.getByLabel("Question", { exact: true }).fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
  await settled();
}
