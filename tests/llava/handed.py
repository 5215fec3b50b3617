"""A pair that is patched, for other people's hands."""

from small_models import make_processor, picture

import vtc_llava

METHODS = ("vtc-cls", "norm", "visionzip")  # chooses before the last layer is finished; sees features; merges


def asked(processor, pictures=2):
    texts = ["USER: <image> what ? ASSISTANT:", "USER: <image> how many red star ? ASSISTANT:"][:pictures]
    return processor(images=[*map(picture, range(pictures))], text=texts, return_tensors="pt", padding=True)


def patched(model, method="vtc-cls", keep=5):
    processor = make_processor()
    vtc_llava.patch(model, processor, keep=keep, method=method)
    return asked(processor)
