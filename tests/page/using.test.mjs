// The page for every hand, eye and server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, asked, files, page, pick, screenshots, settled, text, urls } from "./browsing.mjs";

test("a question that brings its own placeholder is refused in a sentence", async () => {
  await pick(0);
  await page.getByLabel("Question", { exact: true }).fill("what is <image> ?");
  await page.getByRole("button", { name: "Ask" }).click();
  assert.equal(await text("#question-refusal"), "The question must be words: <image> is put before them by itself.");
});

test("what is typed while a picture is on its way stays, and is asked when it is asked", async () => {
  await pick(1);
  await page.evaluate(() => {
    document.querySelector("#scenes button").click(); // whose picture has to be fetched
    document.getElementById("question").value = "how many objects ?";
  });
  await page.locator('#scenes button:nth-child(1)[aria-pressed="true"]').waitFor();
  await settled();
  assert.equal(await page.locator("#question").inputValue(), "how many objects ?");
  await ask("how many objects ?");
  assert.equal(await text("#all .text"), "4");
});

test("a keyboard alone is enough, and what it reaches has a name", async () => {
  await page.locator("h1").click();
  const reached = [];
  for (let step = 0; step < 12; step++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.value || document.activeElement.textContent));
    const outline = await page.evaluate(() => {
      const shown = document.activeElement.id === "file" ? document.activeElement.nextElementSibling : document.activeElement;
      return getComputedStyle(shown).outlineStyle;
    });
    assert.equal(outline, "solid", `focus shows on ${reached.at(-1)}`);
  }
  const scenes = [...Array(8).keys()].map((scene) => `scenes/${scene}.png`);
  assert.deepEqual(reached, [...scenes, "file", "keep", "question", "Ask"]);
  await page.getByRole("slider", { name: /^Visual tokens kept/ }).focus();
  const before = await page.locator("#keep").inputValue();
  await page.keyboard.press("ArrowRight");
  assert.equal(await text("#few h2"), `${Number(before) + 1} tokens`);
  await page.getByRole("combobox", { name: "Question" }).fill("how many objects ?");
  await page.keyboard.press("Enter");
  await settled();
  await page.getByRole("button", { name: "purple diamond top right" }).waitFor();
  await page.getByRole("img", { name: /tokens kept/ }).waitFor();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [390, 1280]) {
    test(`${width} pixels, ${colorScheme}: nothing sticks out, and words stand out from their ground`, async () => {
      await page.setViewportSize({ width, height: 844 });
      await page.locator("#file").setInputFiles(`${files}/notes.txt`); // for the colour of a refusal
      await page.locator("#refusal:not(:empty)").waitFor();
      await page.emulateMedia({ colorScheme });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      await page.screenshot({ path: `${screenshots}/page-${width}-${colorScheme}.png`, fullPage: true });
      const faint = await page.evaluate(() => {
        const numbers = (color) => color.match(/[\d.]+/g).map(Number);
        const light = (color) => {
          const [r, g, b] = numbers(color).map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (element) => {
          const color = getComputedStyle(element).backgroundColor;
          return numbers(color)[3] === 0 ? ground(element.parentElement) : color;
        };
        const worded = [...document.body.querySelectorAll("*")].filter(
          (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) && element.getClientRects().length,
        );
        return worded.flatMap((element) => {
          const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
          const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          return contrast < 4.5 ? [`${element.tagName} ${element.textContent.trim()} ${contrast.toFixed(2)}`] : [];
        });
      });
      assert.deepEqual(faint, []); // WCAG 2.2 AA
    });
  }
}

test("once loaded it needs no network, and it never asked anybody else", async () => {
  await page.context().setOffline(true);
  await ask("what color is the ring ?");
  await page.context().setOffline(false);
  const elsewhere = asked.filter((url) => !Object.values(urls).some((own) => url.startsWith(own)) && !/^(blob|data):/.test(url));
  assert.deepEqual(elsewhere, []);
});
