// The slider never shows a stale answer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, browser, expected, page, pick, settled, slide, urls } from "./browsing.mjs";

/** While the slider is dragged about, every answer that is shown: its heading, its words, the tokens of its prompt. */
async function drag(on) {
  await on.evaluate(() => {
    window.shown = [];
    const look = () => {
      const [heading, words, prompt] = ["h2", ".text", ".prompt"].map((part) => document.querySelector(`#few ${part}`).textContent);
      const busy = document.getElementById("few").hasAttribute("aria-busy");
      if (!busy) window.shown.push([parseInt(heading), words, parseInt(prompt)]);
    };
    new MutationObserver(look).observe(document.getElementById("few"), { subtree: true, childList: true, attributes: true });
  });
  const budgets = Object.keys(expected.sweep.answers).map(Number);
  for (let step = 0; step < 60; step++) {
    await slide(budgets[(step * 3) % budgets.length], on);
    await (step % 6 === 0 ? settled(on) : on.waitForTimeout((step * 29) % 60));
  }
  await settled(on);
  const shown = await on.evaluate(() => window.shown);
  const extra = expected.sweep.prompt; // tokens of the prompt that are not the picture's
  return shown.map(([keep, words, prompt]) => ({
    keep, words, stale: words !== expected.sweep.answers[keep] || prompt !== keep + extra,
  }));
}

test("the slider never shows a stale answer", async () => {
  await pick(expected.sweep.scene);
  await ask(expected.sweep.question);
  const shown = await drag(page);
  assert.deepEqual(shown.filter(({ stale }) => stale), []);
  assert.ok(new Set(shown.map(({ words }) => words)).size >= 3, "answers of several budgets were seen");
});

test("a page that shows whatever is ready is caught by the test above", async () => {
  const broken = await browser.newPage();
  await broken.route("**/page.js", async (route) => {
    const source = await (await route.fetch()).text();
    const body = source.replaceAll("mine === newest", "true");
    assert.notEqual(body, source);
    await route.fulfill({ contentType: "text/javascript", body });
  });
  await broken.goto(urls.page);
  await broken.waitForFunction(() => !document.getElementById("main").inert, null, { timeout: 60_000 });
  await broken.locator("#scenes button").nth(expected.sweep.scene).click();
  await broken.locator("#question").fill(expected.sweep.question);
  await broken.getByRole("button", { name: "Ask" }).click();
  await settled(broken);
  assert.ok((await drag(broken)).some(({ stale }) => stale));
  await broken.close();
});
