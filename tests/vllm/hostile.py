"""Requests that a server should survive: a seeded mixture, as JSON bodies of `/v1/chat/completions`.

Each comes with the statuses that it may be answered with. 400 where the plugin or vLLM has to refuse it; where vLLM's
own reading of a body fails before the plugin sees it, 500 is allowed as well: what counts is that the engine lives on.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import hostile_embeddings
from bodies import content, embeddings, noise, of_bytes, picture, rows_of, saved

REFUSED, READ_BY_VLLM, ANY = (400,), (400, 422, 500), (200, 400, 404, 422, 500, 501)


class Hostile(NamedTuple):
    kind: str
    body: Any
    allowed: tuple[int, ...]


def requests(seed: int, many: int) -> Iterator[Hostile]:
    lots = random.Random(seed)
    kinds: list[tuple[Callable[[random.Random], tuple[Any, dict[str, Any]]], tuple[int, ...]]] = [
        (_other_kwargs, REFUSED),
        (_budget, REFUSED),
        (hostile_embeddings.not_finite, REFUSED),
        (hostile_embeddings.misfit, REFUSED),
        (hostile_embeddings.no_floats, REFUSED),
        (hostile_embeddings.odd_pickle, READ_BY_VLLM),
        (hostile_embeddings.odd_array, READ_BY_VLLM),
        (hostile_embeddings.not_base64, READ_BY_VLLM),
        (hostile_embeddings.huge_numbers, (200,)),
        (_one_uuid, (200, 400)),
        (_broken_picture, READ_BY_VLLM),
        (_odd_picture, (200, 400)),
        (_elsewhere, ANY),
        (_odd_text, ANY),
        (_odd_sampling, ANY),
        (_odd_body, ANY),
    ]
    for _ in range(many):
        make, allowed = lots.choice(kinds)
        content, more = make(lots)
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0, **more}
        yield Hostile(make.__name__.strip("_"), body, allowed)


# --- kinds: the content of a message, and more of the body ------------------------------------------------------------


def _other_kwargs(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    size = lots.choice([1, 12, 95, 97, 336, 10**6, -1, 0, None, "x"])
    kwargs = lots.choice(
        [
            {"crop_size": {"height": size, "width": size}},
            {"crop_size": size},
            {"size": {"shortest_edge": size}},
            {"images_kwargs": {"crop_size": {"height": size, "width": size}}},
            {"common_kwargs": {"return_tensors": "np"}},
            {"text_kwargs": {"truncation": True, "max_length": 1}},
            {"do_resize": False},
            {"do_center_crop": False},
            {"do_rescale": False, "image_mean": [float("nan")] * 3},
            {"image_std": [0, 0, 0]},
            {"device": "meta"},
            {"return_tensors": "np"},
            {"patch_size": 1},
            {"vtc": {"keep": 1}},
            {"truncation": True},
            {"": 1},
        ]
    )
    if lots.random() < 0.3:
        kwargs = {**kwargs, "vtc_keep": 16}
    return content(picture(noise(lots, 96, 96))), {"mm_processor_kwargs": kwargs}


def _budget(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    keep = lots.choice([0, -1, 145, 2**63, 1e300, 16.0, 16.5, True, False, "16", "", [], [16], {}, {"keep": 16}])
    return content(picture(noise(lots, 96, 96))), {"mm_processor_kwargs": {"vtc_keep": keep}}


def _one_uuid(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    """Of pictures and embeddings of any length, in any order."""
    uuid = lots.choice(["a", "b", ""])
    if lots.random() < 0.7:
        return content(embeddings(rows_of(lots, lots.randint(1, 60)), uuid=uuid)), {}
    if lots.random() < 0.3:
        return content({"type": "image_url", "image_url": None, "uuid": uuid}), {}
    return content(picture(noise(lots, 96, 96), uuid=uuid)), {
        "mm_processor_kwargs": {"vtc_keep": lots.choice([1, 144])}
    }


def _broken_picture(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    good = saved(noise(lots, 96, 96))
    bomb = good[:16] + (50_000).to_bytes(4) * 2 + good[24:]
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    return content(of_bytes(lots.choice([b"", b"x", good[: len(good) // 2], bomb, svg, lots.randbytes(999)]))), {}


def _odd_picture(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    if lots.random() < 0.5:
        return content(picture(noise(lots, *lots.choice([(1, 1), (1, 900), (900, 1), (2, 3), (1, 20_000)])))), {}
    mode = lots.choice(["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
    return content(picture(noise(lots, 96, 96).convert("L").convert(mode), "TIFF")), {}


def _elsewhere(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    names = [
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "ftp://x/y.png",
        "",
        "data:,",
        "data:image/png,x",
        "/etc/passwd",
    ]
    return content({"type": "image_url", "image_url": {"url": lots.choice(names)}}), {}


def _odd_text(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    text = lots.choice(["", "<image>", "<image>" * 50, "<s></s>" * 9, "\x00\x1b[2J", "\u202e" * 9, "how many " * 9000])
    shown = [picture(noise(lots, 96, 96))] * lots.randint(0, 3)
    return [*shown, {"type": "text", "text": text}], {}


def _odd_sampling(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    more = lots.choice(
        [
            {"max_tokens": 0},
            {"max_tokens": -1},
            {"max_tokens": 2**40},
            {"temperature": -1},
            {"temperature": 1e30},
            {"top_p": 0},
            {"top_k": -7},
            {"n": 0},
            {"n": 40},
            {"logprobs": True, "top_logprobs": 10**6},
            {"logit_bias": {"999999": 100}},
            {"logit_bias": {"-1": 100}},
            {"allowed_token_ids": [10**9]},
            {"allowed_token_ids": []},
            {"bad_words": [""]},
            {"stop": [""] * 9},
            {"seed": 2**80},
            {"min_tokens": 10**6},
            {"prompt_logprobs": 10**6},
            {"repetition_penalty": 0},
            {"presence_penalty": 99},
            {"truncate_prompt_tokens": 3},
            {"cache_salt": ""},
            {"priority": 2**40},
        ]
    )
    return content(picture(noise(lots, 96, 96))), more


def _odd_body(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    return lots.choice(
        [
            (None, {}),
            (3, {}),
            ([None], {}),
            ([{"type": "image_url"}], {}),
            ([{"type": "video_url", "video_url": {"url": "data:,"}}], {}),
            ([{"type": "audio_embeds", "audio_embeds": "x"}], {}),
            ([{"type": "image_embeds", "image_embeds": {"image_embeds": "x"}}], {}),
            ([{"type": "image_embeds", "image_embeds": {"rows": [1, 2]}}], {}),
            ([{"type": "image_embeds", "image_embeds": [1.0]}], {}),
            ([{"type": "image_embeds", "image_embeds": None}], {}),
            (content(picture(noise(lots, 96, 96)), embeddings(rows_of(lots, 4))), {}),
            (content(picture(noise(lots, 96, 96))), {"mm_processor_kwargs": [1]}),
            (content(picture(noise(lots, 96, 96))), {"mm_processor_kwargs": {"vtc_keep": None}}),
            (content(picture(noise(lots, 96, 96))), {"media_io_kwargs": {"image": {"rgba_background_color": "x"}}}),
            (content(picture(noise(lots, 96, 96))), {"model": "another"}),
            ("text", {"messages": []}),
        ]
    )
