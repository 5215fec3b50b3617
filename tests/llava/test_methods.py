"""Every method in every family: what is fed is what its weights say of the stock features, a batch is its rows."""

import pytest
import torch

import vtc_llava
from vtc_core.methods import METHODS
from vtc_core.methods.method import OF_CLS

from .families import FAMILIES
from .prompts import encoded, new_tokens, prompts
from .small_clip import needed

CHOSEN = ("llava", "llava of several layers", "llava_next", "llava_next_video", "video_llava", "llava_onevision")
BUDGETS = [(name, budget) for name in CHOSEN for budget in [{"keep": 5}, {"total": 17}][: 1 + FAMILIES[name].total]]


def refusal(method, family):
    """A part of the sentence that refuses a method, where one does not apply."""
    if any(field in OF_CLS for field in METHODS[method].needs) and FAMILIES[family].method != "vtc-cls":
        return "has no CLS token"
    if METHODS[method].progressive and not family.startswith("llava of") and family != "llava":
        return "drops tokens inside the encoder"
    if needed(method) and family == "llava of several layers":
        return "makes features of 64 numbers, as this model's does, and .* makes 32"
    if needed(method) and FAMILIES[family].method != "vtc-cls":
        return "the vision tower is a 'siglip_vision_model'"
    return None


@pytest.fixture(scope="module", params=BUDGETS, ids=str)
def asked(request):
    family, budget = request.param
    return family, FAMILIES[family].make(), budget


@pytest.mark.parametrize("method", METHODS)
def test_a_method_answers_or_is_refused_in_a_sentence(asked, method):
    family, (model, processor), budget = asked
    case, small = FAMILIES[family], {"method": method, **needed(method)}
    if refusal(method, family):
        with pytest.raises(ValueError, match=refusal(method, family)):
            vtc_llava.patch(model, processor, **budget, **small)
        return
    kinds = ["batch", "several pictures", *(["batch of videos"] if case.videos else [])]
    with vtc_llava.patch(model, processor, **budget, **small) as handle, torch.no_grad():
        for kind in kinds:
            inputs = encoded(processor, prompts(case)[kind])
            batch = new_tokens(model, inputs)
            assert handle.last is not None
            for row, one in enumerate(prompts(case)[kind].rows()):
                alone = new_tokens(model, encoded(processor, one))
                assert batch[row, : alone.shape[1]].tolist() == alone[0].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_fed_is_what_the_weights_say(asked, method):
    family, (model, processor), budget = asked
    if refusal(method, family) or METHODS[method].progressive:
        pytest.skip("refused, see above; or no stock features")
    case, kind = FAMILIES[family], METHODS[method]
    prompt = prompts(case)["several pictures" if family != "llava_onevision" else "one picture"]
    with vtc_llava.patch(model, processor, **budget, method=method, **needed(method)) as handle, torch.no_grad():
        pictures = encoded(processor, prompt)
        names = [name for name in pictures if "pixel" in name or name in ("image_sizes", "batch_num_images")]
        with vtc_llava.prompted(handle, pictures["input_ids"]):
            fed = model.model.get_image_features(**{name: pictures[name] for name in names}).pooler_output
        pixels = pictures[next(name for name in names if "pixel" in name)]
        layers = model.config.vision_feature_layer
        first = 0 if case.method == "received" else 1
        for number, tokens in enumerate(fed):
            tiles = handle.seen["image"][number].tiles
            weights = handle.weights(number)
            assert weights.shape == (len(tokens), tiles * case.tokens)
            states = handle.tower()(pixels[number].view(-1, *pixels.shape[-3:])[:tiles], output_hidden_states=True)
            states = [states.hidden_states[n] for n in ([layers] if isinstance(layers, int) else layers)]
            features = torch.cat(states, -1)[:, first:].flatten(0, 1)
            late = kind.merges_projected or (family == "llava_onevision")
            project = model.model.multi_modal_projector
            expected = weights @ project(features) if late else project(weights @ features)
            patches = weights.abs().sum(1) > 0  # the others are CLS or newlines
            torch.testing.assert_close(tokens[patches], expected[patches], rtol=1e-3, atol=1e-4)
            if not kind.merges and family != "llava_onevision":
                assert ((weights == 1).sum(1) == 1)[patches].all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_all_tokens_are_the_unpatched_model_whatever_the_method(family, method):
    if refusal(method, family):
        pytest.skip("refused, see above")
    case = FAMILIES[family]
    model, processor = case.make()
    inputs = encoded(processor, prompts(case)["batch"])
    with torch.no_grad():
        expected = model(**inputs).logits
        with vtc_llava.patch(model, processor, keep=case.tokens, method=method, **needed(method)):
            torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_that_is_not_finite_changes_no_other_row(asked, method):
    """S7, through the whole model: the rows of a batch do not see each other."""
    family, (model, processor), budget = asked
    if refusal(method, family):
        pytest.skip("refused, see above")
    with vtc_llava.patch(model, processor, **budget, method=method, **needed(method)), torch.no_grad():
        inputs = encoded(processor, prompts(FAMILIES[family])["batch"])
        name = next(name for name in inputs if "pixel" in name)
        expected = model(**inputs).logits[0]
        for value in (torch.nan, torch.inf):
            bad = inputs[name].clone()
            bad[1, ..., 3, 3] = value
            got = model(**inputs | {name: bad}).logits
            torch.testing.assert_close(got[0], expected, rtol=1e-4, atol=1e-5)  # tables may be of another width
            assert not got[1].isfinite().all() or method in ("grid", "random")
