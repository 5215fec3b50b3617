// WebAssembly with threads and without, and WebGPU.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expected, launch, open, page, text, urls } from "./browsing.mjs";

const SOFTWARE = ["--enable-unsafe-webgpu", "--enable-unsafe-swiftshader", "--use-webgpu-adapter=swiftshader"];
const [question, answers] = Object.entries(expected.scenes[0].answers)[0]; // that the page asks by itself

async function assertAnswered(on) {
  assert.equal(await on.locator("#question").inputValue(), question);
  assert.deepEqual([await text("#all .text", on), await text("#few .text", on)], [answers[144], answers[16]]);
}

test("from a server without the headers it runs in one thread", async () => {
  const plain = await open(urls.plain);
  assert.match(await text("#about", plain), /in WebAssembly with one thread/);
  await plain.close();
  assert.match(await text("#about"), /in WebAssembly with [2-4] threads/);
});

test("on WebGPU, here one in software, the answers are the same", async () => {
  const browser = await launch(...SOFTWARE);
  const gpu = await open(urls.page, { from: browser });
  assert.match(await text("#about", gpu), /on WebGPU/);
  await assertAnswered(gpu);
  await browser.close();
});

test("a GPU that fails is left alone: the page starts again in WebAssembly", async () => {
  const failing = await open(urls.page, {
    script: () => {
      const requestDevice = async () => { throw new Error("no device"); };
      const adapter = { features: new Set(), limits: {}, info: {}, requestDevice };
      Object.defineProperty(Navigator.prototype, "gpu", { value: { requestAdapter: async () => adapter } });
    },
  });
  assert.match(await text("#about", failing), /in WebAssembly with [2-4] threads/);
  await assertAnswered(failing);
  await failing.close();
});
