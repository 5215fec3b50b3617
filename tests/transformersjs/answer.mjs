// A stranger's view of an exported folder: transformers.js as its documentation has it, and nothing of ours.
//
//     node answer.mjs FOLDER SCENES.json OUT.json
//
// SCENES: [{"image": "0.png", "questions": ["what ?"]}], images beside it. OUT: for each the pixel values that the model
// was given, and for each of its questions the prompt, the ids and the answer.
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { AutoProcessor, LlavaForConditionalGeneration, RawImage, env } from "@huggingface/transformers";

const [folder, scenes, out] = process.argv.slice(2).map((path) => resolve(path));
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);

const processor = await AutoProcessor.from_pretrained(basename(folder));
const model = await LlavaForConditionalGeneration.from_pretrained(basename(folder));

async function answer(image, question) {
  const content = [{ type: "image" }, { type: "text", text: question }];
  const prompt = processor.apply_chat_template([{ role: "user", content }], { add_generation_prompt: true });
  const inputs = await processor(image, prompt);
  const generated = await model.generate({ ...inputs, max_new_tokens: 4, do_sample: false });
  const ids = inputs.input_ids.tolist()[0].map(Number);
  const text = processor.batch_decode(generated.slice(null, [ids.length, null]), { skip_special_tokens: true })[0];
  return { prompt, ids, text: text.trim(), pixels: inputs.pixel_values };
}

const results = [];
for (const { image, questions } of JSON.parse(await readFile(scenes, "utf8"))) {
  const picture = await RawImage.read(resolve(dirname(scenes), image));
  const answers = [];
  for (const question of questions) answers.push(await answer(picture, question));
  const { dims, data } = answers[0].pixels;
  results.push({ dims, pixels: Array.from(data), answers: answers.map(({ pixels, ...rest }) => rest) });
}
await writeFile(out, JSON.stringify(results));
