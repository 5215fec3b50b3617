// The page in Chromium, as people use it. `browser.py` builds the pages, serves them, and has PyTorch's answers:
//
//     PAGES=pages.json node --test page.test.mjs
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const { chromium: executablePath, urls, files, screenshots, expected } = JSON.parse(await readFile(process.env.PAGES));
const BUDGETS = [16, 48, 144];
let browser, page;
const asked = [], complaints = [];

before(async () => {
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  page = await open(urls.page);
});
after(() => browser?.close());

async function open(url) {
  const opened = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  opened.on("request", (request) => asked.push(request.url()));
  opened.on("pageerror", (error) => complaints.push(String(error)));
  opened.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await opened.goto(url);
  await opened.waitForFunction(() => !document.getElementById("main").inert, null, { timeout: 60_000 });
  await settled(opened);
  return opened;
}

const settled = (on = page) =>
  on.waitForFunction(() => document.querySelector("#few .text").textContent && !document.querySelector("main [aria-busy]"));
const text = (selector, on = page) => on.locator(selector).textContent();
const slide = (keep, on = page) =>
  on.locator("#keep").evaluate((slider, keep) => {
    slider.value = keep;
    slider.dispatchEvent(new Event("input"));
  }, keep);

async function pick(scene) {
  await page.locator("#scenes button").nth(scene).click();
  await page.locator(`#scenes button:nth-child(${scene + 1})[aria-pressed="true"]`).waitFor();
  await settled();
}

async function ask(question) {
  await page.getByLabel("Question", { exact: true }).fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
  await settled();
}

/** Which patches the left panel shows as bright as the picture itself, and the brightest of the heat map. */
const seen = (scene) =>
  page.evaluate(async (url) => {
    const side = 12, mean = (canvas, box) => {
      const { data } = canvas.getContext("2d").getImageData(...box);
      return data.reduce((sum, value, at) => sum + (at % 4 < 3 ? value : 0), 0) / data.length;
    };
    const picture = Object.assign(document.createElement("canvas"), { width: 96, height: 96 });
    picture.getContext("2d").drawImage(await createImageBitmap(await (await fetch(url)).blob()), 0, 0);
    const patches = [...Array(side * side).keys()];
    const at = (patch, size, edge) => [
      (patch % side) * size + edge, Math.floor(patch / side) * size + edge, size - 2 * edge, size - 2 * edge,
    ];
    const panels = ["kept", "scores"].map((name) => document.getElementById(name));
    const [shown, heat] = panels.map((panel) => patches.map((patch) => mean(panel, at(patch, panel.width / side, panel.width / 96))));
    const kept = patches.filter((patch) => shown[patch] > 0.8 * mean(picture, at(patch, 8, 1))); // a line is at the edge
    return { kept, brightest: heat.indexOf(Math.max(...heat)) };
  }, `scenes/${scene}.png`);

test("what is lit is what PyTorch keeps, and the answers are PyTorch's, at three budgets", async () => {
  const times = [];
  for (const [scene, { kept, brightest, answers }] of expected.scenes.entries()) {
    await slide(BUDGETS[0]);
    await pick(scene);
    assert.deepEqual(await seen(scene), { kept, brightest }, `scene ${scene}`);
    for (const [question, wanted] of Object.entries(answers)) {
      await slide(BUDGETS[0]);
      const start = performance.now();
      await ask(question);
      times.push(performance.now() - start);
      const got = { 144: await text("#all .text"), 16: await text("#few .text") };
      await slide(BUDGETS[1]);
      await settled();
      got[48] = await text("#few .text");
      assert.deepEqual(got, wanted, `scene ${scene}: ${question}`);
    }
  }
  times.sort((a, b) => a - b);
  console.log(`both answers, clicked to shown: median ${Math.round(times[32])} ms, slowest ${Math.round(times.at(-1))} ms`);
  assert.ok(times[32] < 2000, "the median of 64 questions takes less than 2 seconds");
});

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

for (const [name, sentence] of [
  ["notes.txt", /^notes\.txt is no picture that this browser can read\.$/],
  ["text.png", /^text\.png is no picture that this browser can read\.$/],
  ["empty.jpg", /^empty\.jpg is no picture that this browser can read\.$/],
  ["huge.png", /^huge\.png has 8,000 x 8,000 pixels: at most 50 million are read\.$/],
  ["thin.png", /^thin\.png has 1,500 x 1 pixels: one side may be at most 100 times the other\.$/],
  ["<img src=x onerror=alert(1)>.txt", /^<img src=x onerror=alert\(1\)>\.txt is no picture/],
]) {
  test(`a sentence for ${name}, and the page goes on`, async () => {
    await pick(0);
    const before = await text("#kept-caption");
    await page.locator("#file").setInputFiles(`${files}/${name}`);
    await page.locator("#refusal:not(:empty)").waitFor();
    assert.match(await text("#refusal"), sentence);
    assert.equal(await page.locator("#refusal *").count(), 0);
    assert.equal(await text("#kept-caption"), before);
    await ask("how many objects ?");
    assert.equal(await text("#all .text"), expected.scenes[0].answers["how many objects ?"][144]);
  });
}

for (const name of ["spin.gif", "spin.png", "spin.webp"]) {
  test(`${name} is animated: its first frame is used, and that is said`, async () => {
    await pick(1);
    await page.locator("#file").setInputFiles(`${files}/${name}`); // its first frame is scene 0
    await page.locator("#refusal:not(:empty)").waitFor();
    assert.equal(await text("#refusal"), `${name} is animated: its first frame is used.`);
    await ask("what shape is black ?");
    assert.equal(await text("#all .text"), "triangle");
  });
}

test("a photo is read as it is: another shape, upright by its EXIF, white where it is transparent", async () => {
  for (const name of ["photo.jpg", "still.gif", "clear.png"]) {
    await pick(0);
    await page.locator("#file").setInputFiles(`${files}/${name}`);
    await page.locator('#scenes:not(:has([aria-pressed="true"]))').waitFor();
    await settled();
    assert.equal(await text("#refusal"), "");
  }
  const corner = await page.evaluate(() => {
    const canvas = document.getElementById("kept");
    return [...canvas.getContext("2d").getImageData(canvas.width - 20, 20, 1, 1).data];
  });
  assert.ok(corner[0] === corner[1] && corner[1] === corner[2], `clear.png is white, or shaded white: ${corner}`);
  assert.ok(corner[0] > 50);
});

test("dropped files are taken, dropped text is not", async () => {
  await pick(0);
  const drop = async (make) => (await page.evaluateHandle(make)).asElement() ?? page.evaluateHandle(make);
  const words = await drop(() => {
    const data = new DataTransfer();
    data.setData("text/plain", "words");
    return data;
  });
  await page.dispatchEvent("#drop", "drop", { dataTransfer: words });
  const file = await drop(() => {
    const data = new DataTransfer();
    data.items.add(new File(["no picture"], "dropped.png"));
    return data;
  });
  await page.dispatchEvent("#drop", "drop", { dataTransfer: file });
  await page.locator("#refusal:not(:empty)").waitFor();
  assert.equal(await text("#refusal"), "dropped.png is no picture that this browser can read.");
});

test("a question that brings its own placeholder is refused in a sentence", async () => {
  await pick(0);
  await page.getByLabel("Question", { exact: true }).fill("what is <image> ?");
  await page.getByRole("button", { name: "Ask" }).click();
  assert.equal(await text("#question-refusal"), "The question must be words: <image> is put before them by itself.");
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

test("from a server without the headers it runs in one thread", async () => {
  const plain = await open(urls.plain);
  assert.match(await text("#about", plain), /in WebAssembly with one thread/);
  await plain.close();
  assert.match(await text("#about"), /in WebAssembly with [2-4] threads/);
});

test("of a merging method the merged patches are told", async () => {
  const merging = await open(urls.merging);
  const { keep, merged } = expected.merging;
  assert.equal(await text("#kept-caption", merging), `${keep} of 144 tokens kept, ${merged} patches merged into them (half-dark)`);
  await merging.close();
});

test("nothing went wrong unseen", () => assert.deepEqual(complaints, []));
