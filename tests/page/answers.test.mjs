// What the page shows is what PyTorch keeps and answers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, expected, open, page, pick, settled, slide, text, urls } from "./browsing.mjs";

const BUDGETS = [16, 48, 144];

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

test("of a merging method the merged patches are told", async () => {
  const merging = await open(urls.merging);
  const { keep, merged } = expected.merging;
  assert.equal(await text("#kept-caption", merging), `${keep} of 144 tokens kept, ${merged} patches merged into them (half-dark)`);
  await merging.close();
});
