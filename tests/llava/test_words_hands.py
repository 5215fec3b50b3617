"""A model that reads prompts in other people's hands: copies, PEFT, accelerate, undo."""

import copy
import pickle

import accelerate
import peft
import pytest
import torch
from small_models import same

import vtc_llava

from .prompts import new_tokens
from .wording import ASKED, asked, patchable


def test_undo_leaves_the_stock_methods():
    model, processor = patchable()
    before = dict(vars(model))
    handle = vtc_llava.patch(model, processor, keep=7, method="mmtok")
    assert {"forward", "generate"} <= set(vars(model)) - set(before)
    handle.undo()
    assert vars(model).keys() == before.keys()
    with vtc_llava.patch(model, processor, keep=7):  # one that reads nothing leaves them alone
        assert not {"forward", "generate"} & set(vars(model))


def pickled(pair):
    return pickle.loads(pickle.dumps(pair))


@pytest.mark.parametrize("again", [copy.deepcopy, pickled])
def test_a_copy_reads_its_own_prompts(again):
    model, processor = patchable()
    vtc_llava.patch(model, processor, keep=7, method="mmtok")
    inputs = asked(processor)
    with torch.no_grad():
        wanted = model(**inputs).logits
        twin, _ = again((model, processor))
        same(twin(**inputs).logits, wanted)
        model.vtc.undo()
        same(twin(**inputs).logits, wanted)
        same(twin.generate(**inputs, max_new_tokens=2)[:, : inputs["input_ids"].shape[1]], inputs["input_ids"])


@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")  # PEFT's
def test_a_peft_model_reads_and_trains():
    model, processor = patchable()
    handle = vtc_llava.patch(model, processor, keep=7, method="mmtok")
    inputs = asked(processor)
    model(**inputs)
    assert handle.last is not None
    wanted = handle.last.indices
    lora = peft.LoraConfig(r=2, target_modules=r".*language_model.*(q_proj|v_proj)")
    wrapped = peft.get_peft_model(model, lora)
    labels = inputs["input_ids"].clone()
    labels[:, :-1] = -100
    wrapped(**inputs, labels=labels).loss.backward()
    assert handle.last.indices.shape == wanted.shape
    wrapped.generate(**inputs, max_new_tokens=2)
    same(handle.last.indices, wanted)


@pytest.mark.filterwarnings("ignore:You are calling .generate:UserWarning")  # transformers 5.16, of a stock model, too
@pytest.mark.parametrize("first", ["patched", "offloaded"])
def test_accelerate_offloads_the_embedding_table(first):
    model, processor = patchable()
    with vtc_llava.patch(model, processor, keep=7, method="mmtok"), torch.no_grad():
        inputs = asked(processor)
        wanted = model(**inputs).logits
    if first == "offloaded":
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    vtc_llava.patch(model, processor, keep=7, method="mmtok")
    if first == "patched":
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert model.get_input_embeddings().weight.is_meta
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, wanted)
        assert len(new_tokens(model, inputs)) == len(ASKED)
