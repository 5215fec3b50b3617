// The page: a picture, a budget and a question in; what is kept of the picture and two answers out. All of it runs here.
// Whatever people or files say goes into the page as text, never as HTML.
import { $, about, time } from "./about.js";
import { decode } from "./decoding.js";
import { answer, load, look, prepare, stop } from "./model.js";
import { draw } from "./panels.js";

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
    if (type === "drop" && !$("main").inert) take(event.dataTransfer.files);
  });
}

try {
  const place = await load(say);
  $("about").textContent = `${about.name} with ${about.method}, ${place}. ${about.note} A picture stays on this device.`;
  say("");
  $("main").inert = false;
  $("scenes").firstElementChild.click();
} catch (error) {
  fail(error);
}
