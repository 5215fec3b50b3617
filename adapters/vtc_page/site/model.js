// The model: pixels of a picture, what the encoder keeps of it, the answer to a question.
import {
  AutoImageProcessor, AutoTokenizer, InterruptableStoppingCriteria, LlavaForConditionalGeneration, RawImage, Tensor, env,
} from "./lib/transformers.min.js";
import { about, megabytes } from "./about.js";

const LONGEST = 64; // tokens of an answer

export const stop = new InterruptableStoppingCriteria();
let model, tokenizer, imageProcessor;

/** Load everything once, on a GPU if there is one that can, else (or if the address says ?device=wasm) in WebAssembly. */
export async function load(say) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = new URL(".", import.meta.url).pathname;
  env.useBrowserCache = env.useWasmCache = false; // the server's own rules hold
  const wasm = env.backends.onnx.wasm;
  const place = new URL("lib/ort-wasm-simd-threaded.asyncify", import.meta.url).href;
  if (crossOriginIsolated) wasm.numThreads = Math.min(4, navigator.hardwareConcurrency);
  wasm.wasmPaths = { mjs: `${place}.mjs`, wasm: `${place}.wasm` };
  const told = ({ status, loaded, total }) => {
    if (status === "progress_total") say(`Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`);
  };
  const of = (key) => Object.fromEntries(Object.entries(about.files).map(([part, file]) => [part, file[key]]));
  const options = { dtype: of("dtype"), use_external_data_format: of("data"), progress_callback: told };
  tokenizer = await AutoTokenizer.from_pretrained("model");
  imageProcessor = await AutoImageProcessor.from_pretrained("model");
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const device = new URLSearchParams(location.search).get("device") ?? (adapter ? "webgpu" : "wasm");
  wasm.proxy = device === "wasm"; // a worker computes, and the page stays alive meanwhile
  try {
    model = await LlavaForConditionalGeneration.from_pretrained("model", { ...options, device });
    const blank = await look(await prepare(document.createElement("canvas")), 1);
    await answer(blank, ""); // a first call is slow: it compiles and allocates
  } catch (error) {
    if (device === "wasm") throw error;
    console.warn(error);
    location.search = "device=wasm"; // onnxruntime-web starts once in a page: in another one then
    await new Promise(() => {});
  }
  return device === "webgpu" ? "on WebGPU" : `in WebAssembly with ${wasm.numThreads === 1 ? "one thread" : `${wasm.numThreads} threads`}`;
}

/** A canvas to pixel values (1 3 height width), and back to what the encoder sees of it. */
export async function prepare(canvas) {
  const { pixel_values } = await imageProcessor(RawImage.fromCanvas(canvas));
  const [, channels, height, width] = pixel_values.dims;
  const { image_mean, image_std, do_normalize, do_rescale, rescale_factor } = imageProcessor;
  const seen = new ImageData(width, height);
  seen.data.fill(255);
  for (let channel = 0; channel < channels; channel++) {
    const [std, mean] = do_normalize ? [image_std[channel], image_mean[channel]] : [1, 0];
    for (let pixel = 0; pixel < width * height; pixel++) {
      const value = pixel_values.data[channel * width * height + pixel] * std + mean;
      seen.data[4 * pixel + channel] = Math.round(do_rescale ? value / rescale_factor : value);
    }
  }
  return { pixels: pixel_values, seen: await createImageBitmap(seen), answers: new Map() };
}

/** What the encoder keeps of a picture: `keep` is an input of its graph. */
export async function look({ pixels }, keep) {
  const budget = new Tensor("int64", BigInt64Array.of(BigInt(keep)), []);
  const start = performance.now();
  const feeds = { pixel_values: pixels.clone().ort_tensor, keep: budget.ort_tensor };
  const { image_features, indices, scores, weights } = await model.sessions.vision_encoder.run(feeds);
  const ms = performance.now() - start;
  const kept = Array.from(indices.data, Number).filter((index) => index >= 0); // -1 is no patch
  const merged = new Set();
  weights?.data.forEach((weight, at) => weight && merged.add(at % about.tokens));
  kept.forEach((index) => merged.delete(index));
  return { keep, features: new Tensor(image_features), kept: new Set(kept), merged, scores: scores.data, ms };
}

/** The answer to a question, greedily, with as many placeholders in the prompt as there are features. */
export async function answer({ keep, features, ms }, question) {
  const [before, after] = about.prompt;
  const inputs = tokenizer(before.replace(about.image_token, about.image_token.repeat(keep)) + question + after);
  model.encode_image = async () => features;
  const start = performance.now();
  const options = { max_new_tokens: LONGEST, do_sample: false, stopping_criteria: stop };
  const generated = await model.generate({ ...inputs, pixel_values: features, ...options });
  const length = inputs.input_ids.dims[1];
  const [text] = tokenizer.batch_decode(generated.slice(null, [length, null]), { skip_special_tokens: true });
  return { text: text.trim(), prompt: length, encoder: ms, language: performance.now() - start };
}
