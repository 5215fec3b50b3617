// What the page has to know of the model, the method and the scenes; and what numbers look like in words.
export const about = await (await fetch("page.json")).json();
export const side = Math.sqrt(about.tokens); // patches
export const $ = (id) => document.getElementById(id);

export const count = (number) => number.toLocaleString("en");
export const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
export const time = (ms) => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
