// What is seen of a picture: its kept patches and the scores, each in a panel.
import { $, about, side } from "./about.js";

const SHADE = 0.75, DUSK = 0.4; // how dark dropped and merged patches are
const INFERNO = ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"]
  .map((color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));

export function draw({ seen }, { keep, kept, merged, scores }) {
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
