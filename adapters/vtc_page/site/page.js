// The page: a picture, a budget and a question in; what is kept of the picture and two answers out. All of it runs here.
// Whatever people or files say goes into the page as text, never as HTML.
import {
  AutoImageProcessor, AutoTokenizer, InterruptableStoppingCriteria, LlavaForConditionalGeneration, RawImage, Tensor, env,
} from "./lib/transformers.min.js";

const MOST_PIXELS = 50e6; // of a picture: 200 MB once it is decoded
const MOST_BYTES = 100e6;
const MOST_ASPECT = 100; // the short side is scaled to the encoder's: a hair's breadth would become gigabytes
const LARGEST = 2048; // pixels, the long side of what goes to the image processor
const LONGEST = 64; // tokens of an answer
const SHADE = 0.75, DUSK = 0.4; // how dark dropped and merged patches are
const INFERNO = ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"]
  .map((color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));

const $ = (id) => document.getElementById(id);
const about = await (await fetch("page.json")).json();
const side = Math.sqrt(about.tokens); // patches
const stop = new InterruptableStoppingCriteria();
let model, tokenizer, imageProcessor;

// --- the model ------------------------------------------------------------------------------------------------------

/** Load everything once, on a GPU if there is one that can, else (or if the address says ?device=wasm) in WebAssembly. */
async function load() {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = new URL(".", import.meta.url).pathname;
  env.useBrowserCache = env.useWasmCache = false; // the server's own rules hold
  const wasm = env.backends.onnx.wasm;
  const place = new URL("lib/ort-wasm-simd-threaded.asyncify", import.meta.url).href;
  if (crossOriginIsolated) wasm.numThreads = Math.min(4, navigator.hardwareConcurrency);
  wasm.wasmPaths = { mjs: `${place}.mjs`, wasm: `${place}.wasm` };
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
  return device;
}

function told({ status, loaded, total }) {
  if (status === "progress_total") say(`Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`);
}

/** A canvas to pixel values (1 3 height width), and back to what the encoder sees of it. */
async function prepare(canvas) {
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
async function look({ pixels }, keep) {
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
async function answer({ keep, features, ms }, question) {
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

// --- one request at a time, and only the newest is shown -------------------------------------------------------------

const state = { picture: null, keep: about.keep, question: "" };
let newest = 0, turn = Promise.resolve();

/** Something was changed: what no longer holds goes at once, what takes its place follows. */
function change(part) {
  Object.assign(state, part);
  const mine = ++newest;
  stop.interrupt();
  $("keep-of").value = `${state.keep} of ${about.tokens}`;
  $("panels").setAttribute("aria-busy", "true");
  const truth = state.picture.questions?.[state.question];
  $("truth").textContent = truth ? `What the scene shows: ${truth}` : "";
  for (const name of "keep" in part ? ["few"] : ["all", "few"]) clear(name);
  turn = turn.then(() => mine === newest && work({ ...state }, () => mine === newest)).catch(fail);
}

async function work({ picture, keep, question }, current) {
  stop.reset();
  const few = await lookOnce(picture, keep);
  if (!current()) return;
  draw(picture, few);
  const all = await lookOnce(picture, about.tokens);
  if (!current()) return;
  const whole = picture.answers.get(question) ?? (await answer(all, question));
  if (!current()) return; // nor is it kept: it was interrupted
  picture.answers.set(question, whole);
  show("all", whole);
  const made = await answer(few, question);
  if (current()) show("few", made);
}

/** One look at all tokens and one at few are kept: features are large. */
async function lookOnce(picture, keep) {
  const place = keep === about.tokens ? "all" : "few";
  if (picture[place]?.keep !== keep) picture[place] = await look(picture, keep);
  return picture[place];
}

// --- pictures ---------------------------------------------------------------------------------------------------------

let chosen = 0;

/** Take a picture, or say in one sentence why not; the last one that was chosen counts, whichever is read first. */
async function choose(name, blob, scene = {}) {
  const mine = ++chosen, before = $("question").value;
  $("refusal").textContent = "";
  try {
    const { canvas, remark } = await decode(name, await blob);
    const picture = { ...(await prepare(canvas)), questions: scene.questions };
    if (mine !== chosen) return;
    $("refusal").textContent = remark;
    $("scenes").querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", button.value === name));
    const asked = Object.keys(scene.questions ?? {});
    $("questions").replaceChildren(...asked.map((question) => new Option(question, question)));
    if ($("question").value !== before) return change({ picture }); // words that are being typed meanwhile stay, unasked
    if (asked.length && !asked.includes(before)) $("question").value = asked[0];
    change({ picture, question: $("question").value });
  } catch (error) {
    if (mine === chosen) $("refusal").textContent = error.message;
  }
}

async function decode(name, blob) {
  if (blob.size > MOST_BYTES) throw new Error(`${name} has ${megabytes(blob.size)} MB: at most ${megabytes(MOST_BYTES)} are read.`);
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await new Promise((loaded, failed) => Object.assign(image, { onload: loaded, onerror: failed }));
    const { naturalWidth: width, naturalHeight: height } = image; // of the header: nothing is decoded yet
    const [short, long] = [Math.min(width, height), Math.max(width, height)];
    if (width * height > MOST_PIXELS) throw new Error(`${name} has ${count(width)} x ${count(height)} pixels: at most ${MOST_PIXELS / 1e6} million are read.`);
    if (long > MOST_ASPECT * short) throw new Error(`${name} has ${count(width)} x ${count(height)} pixels: one side may be at most ${MOST_ASPECT} times the other.`);
    const canvas = document.createElement("canvas");
    const scale = Math.min(1, LARGEST / long);
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    pen.fillStyle = "white"; // under what is transparent
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return { canvas, remark: (await isAnimated(blob)) ? `${name} is animated: its first frame is used.` : "" };
  } catch (error) {
    throw error instanceof Error ? error : new Error(`${name} is no picture that this browser can read.`);
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Whether a GIF, PNG or WebP has more than one frame. */
async function isAnimated(blob) {
  const bytes = new TextDecoder("latin1").decode(await blob.arrayBuffer());
  if (bytes.startsWith("GIF8")) return (bytes.match(/\x21\xf9\x04[^]{4}\x00[\x21\x2c]/g) ?? []).length > 1;
  if (bytes.slice(1, 4) === "PNG") return bytes.slice(0, bytes.indexOf("IDAT")).includes("acTL");
  return bytes.startsWith("RIFF") && bytes.slice(8, 16) === "WEBPVP8X" && (bytes.charCodeAt(20) & 2) > 0;
}

// --- what is seen -----------------------------------------------------------------------------------------------------

function draw({ seen }, { keep, kept, merged, scores }) {
  const wide = Math.ceil(480 / side); // pixels of a patch
  const pens = ["kept", "scores"].map((name) => {
    const canvas = Object.assign($(name), { width: side * wide, height: side * wide });
    return canvas.getContext("2d");
  });
  const finite = scores.filter(Number.isFinite);
  const low = Math.min(0, ...finite), high = Math.max(...finite);
  pens[0].imageSmoothingEnabled = seen.width > side * wide;
  pens[0].drawImage(seen, 0, 0, side * wide, side * wide);
  for (let patch = 0; patch < about.tokens; patch++) {
    const box = [(patch % side) * wide, Math.floor(patch / side) * wide, wide, wide];
    const bright = (scores[patch] - low) / (high - low) || 0;
    pens[1].fillStyle = inferno(low < 0 ? bright : Math.sqrt(bright)); // attention is uneven
    pens[1].fillRect(...box);
    if (kept.has(patch)) continue;
    pens[0].fillStyle = `rgb(0 0 0 / ${merged.has(patch) ? DUSK : SHADE})`;
    pens[0].fillRect(...box);
  }
  if (kept.size < about.tokens) pens.forEach((pen) => outline(pen, kept, wide));
  const words = `${keep} of ${about.tokens} tokens kept${merged.size ? `, ${merged.size} patches merged into them (half-dark)` : ""}`;
  $("kept").setAttribute("aria-label", `the picture, ${words}`);
  $("kept-caption").textContent = words;
  $("panels").removeAttribute("aria-busy");
}

/** A line around the kept patches, for dark things in the dark. */
function outline(pen, kept, wide) {
  pen.strokeStyle = "white";
  pen.lineWidth = 2;
  pen.beginPath();
  for (const patch of kept) {
    const [column, row] = [patch % side, Math.floor(patch / side)];
    const [x, y] = [column * wide, row * wide];
    const edges = [
      [column > 0, patch - 1, [x, y, x, y + wide]],
      [column < side - 1, patch + 1, [x + wide, y, x + wide, y + wide]],
      [row > 0, patch - side, [x, y, x + wide, y]],
      [row < side - 1, patch + side, [x, y + wide, x + wide, y + wide]],
    ];
    for (const [inside, neighbour, [fromX, fromY, toX, toY]] of edges) {
      if (inside && kept.has(neighbour)) continue;
      pen.moveTo(fromX, fromY);
      pen.lineTo(toX, toY);
    }
  }
  pen.stroke();
}

function inferno(bright) {
  const at = bright * (INFERNO.length - 1), from = Math.min(Math.floor(at), INFERNO.length - 2);
  return `rgb(${INFERNO[from].map((value, i) => value + (INFERNO[from + 1][i] - value) * (at - from)).join(" ")})`;
}

// --- answers ----------------------------------------------------------------------------------------------------------

function clear(name) {
  const card = $(name);
  card.setAttribute("aria-busy", "true");
  card.querySelector("h2").textContent = name === "all" ? `all ${about.tokens} tokens` : `${state.keep} tokens`;
  for (const part of ["text", "prompt", "encoder", "language"]) card.querySelector(`.${part}`).textContent = "";
}

function show(name, { text, prompt, encoder, language }) {
  const words = { text: text || "(nothing)", prompt: `${prompt} tokens`, encoder: time(encoder), language: time(language) };
  for (const [part, value] of Object.entries(words)) $(name).querySelector(`.${part}`).textContent = value;
  $(name).removeAttribute("aria-busy");
}

const count = (number) => number.toLocaleString("en");
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
const time = (ms) => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
const say = (words) => ($("status").textContent = words);

function fail(error) {
  console.error(error);
  say(`The model failed: ${error.message ?? error}`);
}

// --- the page itself --------------------------------------------------------------------------------------------------

for (const name of ["all", "few"]) {
  const card = $("answer").content.firstElementChild.cloneNode(true);
  $("answers").append(Object.assign(card, { id: name }));
}
for (const scene of about.scenes) {
  const button = Object.assign(document.createElement("button"), { type: "button", value: scene.image });
  button.append(Object.assign(new Image(), { src: scene.image, alt: scene.shows, width: 96, height: 96 }));
  button.onclick = () => choose(scene.image, fetch(scene.image).then((response) => response.blob()), scene);
  $("scenes").append(button);
}
$("keep").max = about.tokens;
$("keep").value = about.keep;
$("keep").oninput = () => change({ keep: Number($("keep").value) });
$("scores-caption").textContent = `scores: ${about.looks_at}`;
$("ask").onsubmit = (event) => {
  event.preventDefault();
  const question = $("question").value;
  const refused = question.includes(about.image_token);
  $("question-refusal").textContent = refused ? `The question must be words: ${about.image_token} is put before them by itself.` : "";
  if (refused) return;
  state.picture.answers.clear(); // asked again is measured again
  change({ question });
};
const take = ([file]) => file && choose(file.name, file);
$("file").onchange = () => {
  take($("file").files);
  $("file").value = ""; // or the same file, mended, could not be taken again
};
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop" && model) take(event.dataTransfer.files);
  });
}

try {
  const device = await load();
  const threads = env.backends.onnx.wasm.numThreads;
  const place = device === "webgpu" ? "on WebGPU" : `in WebAssembly with ${threads === 1 ? "one thread" : `${threads} threads`}`;
  $("about").textContent = `${about.name} with ${about.method}, ${place}. ${about.note} A picture stays on this device.`;
  say("");
  $("main").inert = false;
  $("scenes").firstElementChild.click();
} catch (error) {
  fail(error);
}
