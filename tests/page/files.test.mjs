// Files that people choose or drop: a picture, or one sentence.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, expected, files, page, pick, settled, text } from "./browsing.mjs";

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

/** Red, green and blue in the middle of the left panel's top and bottom; patches that are not kept are shaded. */
const ends = () =>
  page.evaluate(() => {
    const canvas = document.getElementById("kept");
    return [10, canvas.height - 10].map((y) => [...canvas.getContext("2d").getImageData(canvas.width / 2, y, 1, 1).data.slice(0, 3)]);
  });

async function take(name) {
  await pick(0);
  await page.locator("#file").setInputFiles(`${files}/${name}`);
  await page.locator('#scenes:not(:has([aria-pressed="true"]))').waitFor();
  await settled();
  assert.equal(await text("#refusal"), "");
}

test("a photo is set upright, as its EXIF says", async () => {
  await take("photo.jpg"); // as stored: red on the left, blue on the right
  const [[topRed, , topBlue], [bottomRed, , bottomBlue]] = await ends();
  assert.ok(topRed > 2 * topBlue && bottomBlue > 2 * bottomRed);
});

test("what is transparent is white, and one frame is no animation", async () => {
  await take("clear.png"); // red, if its colours are believed
  for (const [red, green, blue] of await ends()) assert.ok(red > 50 && red === green && green === blue);
  await take("still.gif");
});

test("the last picture that was chosen counts, whichever is there first", async () => {
  await pick(0);
  const late = new Promise((sent) =>
    page.route("**/scenes/1.png", async (route) => {
      await new Promise((done) => setTimeout(done, 500));
      await route.continue();
      sent();
    }),
  );
  await page.locator("#scenes button").nth(1).click();
  await pick(2);
  await late;
  await page.waitForTimeout(300);
  await settled();
  assert.equal(await page.locator('#scenes [aria-pressed="true"]').getAttribute("value"), "scenes/2.png");
  await page.unroute("**/scenes/1.png");
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
