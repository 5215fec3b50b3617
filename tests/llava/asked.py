"""What the small LLaVA-1.5 is asked, and what it answers."""

import torch
from small_models import picture

TOKENS, IMAGE = 36, 4

PROMPTS = {
    "one": (["USER: <image> what color ? ASSISTANT:"], [[picture(0)]]),
    "left padded batch": (
        ["USER: <image> what ? ASSISTANT:", "USER: <image> how many red star ? ASSISTANT:"],
        [[picture(0)], [picture(1, 64, 20)]],
    ),
    "several pictures a prompt": (
        ["USER: <image> <image> what ? ASSISTANT:", "USER: how many <image> red star ? ASSISTANT:"],
        [[picture(0), picture(1)], [picture(2)]],
    ),
    "text only": (["USER: what color ? ASSISTANT:", "USER: how many red star ? ASSISTANT:"], None),
}


def tokenized(processor, prompt):
    text, images = PROMPTS[prompt]
    return processor(text=text, images=images, return_tensors="pt", padding=True)


def new_tokens(model, inputs, **settings):
    torch.manual_seed(0)
    generated = model.generate(**inputs, max_new_tokens=6, **settings)
    return generated[:, inputs["input_ids"].shape[1] :]
