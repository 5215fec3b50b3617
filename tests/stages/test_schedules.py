"""How many tokens are left where, what is refused, and stages in words."""

import json

import pytest

from vtc_core.methods import saved, spelled
from vtc_core.stages import (
    STAGES,
    AimPageRank,
    Dart,
    FastV,
    Feather,
    Pact,
    PyramidDrop,
    SparseVlm,
    ToDreStage2,
    VisionDrop,
    checked_schedule,
    stage_of,
)


def test_published_counts():
    assert FastV().schedule(32, 576) == ((2, 288),)
    assert FastV(3, 0.25).schedule(32, 577) == ((3, 144),)  # 144.25 is rounded
    assert FastV(3, 0.5).schedule(32, 1) == ((3, 0),)  # so is 0.5: to the even number
    assert FastV(3, 64).schedule(32, 576) == ((3, 64),)
    assert FastV(3, 64).schedule(32, 40) == ((3, 40),)
    assert PyramidDrop().schedule(32, 577) == ((8, 288), (16, 144), (24, 72))
    assert VisionDrop().schedule(32, 48) == ((8, 35), (16, 26), (24, 19))
    assert VisionDrop().schedule(32, 20) == ((8, 20), (16, 20), (24, 19))
    assert Feather().schedule(32, 576) == ((8, 172 + 64), (16, 21))
    assert Pact().schedule(32, 576) == ((4, 316),)
    counts = [504, 432, 360, 288, 216, 144, 72, 0]
    assert AimPageRank().schedule(28, 576) == tuple(zip(range(15, 23), counts, strict=True))
    assert AimPageRank().schedule(16, 576) == ((15, 504),)
    assert AimPageRank(slope=0.0).schedule(17, 9) == ((15, 9), (16, 9))


@pytest.mark.parametrize("name", STAGES)
def test_a_layer_that_is_not_there_is_refused_with_both_numbers(name):
    stage = STAGES[name]()
    last = stage.schedule(64, 576)[-1][0] if name != "aim" else 15
    if name == "todre":
        return  # at a share of any depth
    stage.schedule(last + 1, 576)
    message = rf"before a layer in \[1, {last - 1}\] of a language model of {last} layers, got {last}$"
    with pytest.raises(ValueError, match=message):
        stage.schedule(last, 576)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("tokens", [1, 2, 3, 17, 576, 2880])
def test_counts_fall_and_layers_rise(name, tokens):
    schedule = STAGES[name]().schedule(32, tokens)
    layers, counts = zip(*schedule, strict=True)
    assert list(layers) == sorted(set(layers))
    assert list(counts) == sorted(counts, reverse=True)
    assert 0 <= counts[-1] <= counts[0] <= tokens


def test_several_stages_one_after_the_other():
    cuts = checked_schedule([PyramidDrop((4, 8), (0.5, 0.5)), FastV(2, 0.25), Dart(6, 400)], 12, 576)
    assert [(cut.layer, cut.kept, cut.stage.name) for cut in cuts] == [
        (2, 144, "fastv"),
        (4, 144, "pyramiddrop"),
        (6, 144, "dart"),
        (8, 144, "pyramiddrop"),
    ]
    assert checked_schedule([], 12, 576) == ()
    with pytest.raises(ValueError, match="different layers, got 'fastv' and 'sparsevlm' before layer 3"):
        checked_schedule([FastV(3), SparseVlm()], 32, 576)
    with pytest.raises(ValueError, match=r"in \[1, 3\] of a language model of 4 layers, got 5"):
        checked_schedule([FastV(2), Dart()], 4, 576)


REFUSED = [
    (lambda: FastV(keep=0.0), ValueError, r"keep must be a share in \(0, 1\], or an integer of at least 1, got 0.0"),
    (lambda: FastV(keep=1.5), ValueError, "got 1.5"),
    (lambda: FastV(keep=0), ValueError, "keep must be an integer of at least 1, got 0"),
    (lambda: FastV(keep=True), TypeError, "keep must be an integer of at least 1, got True"),
    (lambda: FastV(keep=float("nan")), ValueError, "got nan"),
    (lambda: FastV(layer=0), ValueError, "layer must be an integer of at least 1, got 0"),
    (lambda: PyramidDrop((8, 16)), ValueError, "keep must have a number for each of the 2 layers"),
    (lambda: PyramidDrop((16, 8), (0.5, 0.25)), ValueError, r"from low to high, got \(16, 8\)"),
    (lambda: PyramidDrop((8, 8), (0.5, 0.25)), ValueError, r"from low to high, got \(8, 8\)"),
    (
        lambda: PyramidDrop((), ()),
        ValueError,
        r"layers must be layer numbers of at least 1, from low to high, got \(\)",
    ),
    (lambda: Feather((8, 16, 24)), ValueError, "layers must be the 2 layer numbers of FEATHER's stages"),
    (lambda: Feather(ratio=1.1), ValueError, r"ratio must be a number in \[0, 1\], got 1.1"),
    (lambda: Feather(stride=0), ValueError, "stride must be an integer of at least 1, got 0"),
    (lambda: VisionDrop(contextual=(1, 2)), ValueError, "contextual must have a number for each of the 3 layers"),
    (lambda: VisionDrop(contextual=(1, 2, -1)), ValueError, "contextual must be an integer of at least 0, got -1"),
    (lambda: Pact(cutoff=3), ValueError, "cutoff must be a number in"),
    (lambda: Pact(recover=0.5), ValueError, "recover must be a number in"),
    (lambda: AimPageRank(steps=0), ValueError, "steps must be an integer of at least 1"),
    (lambda: Dart(pivots_image=0), ValueError, "pivots_image must be an integer of at least 1"),
    (lambda: ToDreStage2(tau=-1), ValueError, "tau must be a number in"),
    (lambda: stage_of("fast"), ValueError, f"stage must be one of {', '.join(STAGES)}, got 'fast'"),
    (
        lambda: stage_of("fastv:layers=3"),
        ValueError,
        "'layers' is no parameter of stage 'fastv': fastv has layer, keep",
    ),
    (lambda: stage_of("fastv:layer"), ValueError, "stage must be NAME or NAME:key=value"),
    (lambda: stage_of(FastV), TypeError, "stage must be a name such as 'fastv'"),
    (lambda: stage_of(3), TypeError, "stage must be a name such as 'fastv'"),
]


@pytest.mark.parametrize(("made", "error", "message"), REFUSED)
def test_refusals_name_what_is_allowed_and_what_came(made, error, message):
    with pytest.raises(error, match=message):
        made()


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("fastv:layer=3,keep=0.25", FastV(3, 0.25)),
        ("fastv:keep=64", FastV(keep=64)),
        ("fastv:keep=1.0", FastV(keep=1.0)),
        ("pyramiddrop:layers=4+8,keep=0.5+64", PyramidDrop((4, 8), (0.5, 64))),
        ("pyramiddrop:layers=4+,keep=0.5+", PyramidDrop((4,), (0.5,))),
        ("visiondrop:layers=1+2,dominant=9+1e-05,contextual=0+1", VisionDrop((1, 2), (9, 1e-5), (0, 1))),
        ("sparsevlm:keep=66+30+17", SparseVlm(keep=(66, 30, 17))),
        ("todre", ToDreStage2()),
    ],
)
def test_stages_are_spelled_both_ways(text, stage):
    assert stage_of(text) == stage
    assert spelled(stage) == text
    assert stage_of(json.loads(json.dumps(saved(stage)))) == stage


def test_one_number_will_do_where_there_are_always_several():
    assert stage_of("pyramiddrop:layers=4,keep=0.5") == PyramidDrop((4,), (0.5,))


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_its_name_for_its_default(name):
    assert stage_of(name) == STAGES[name]()
    assert spelled(STAGES[name]()) == name
    assert hash(stage_of(saved(STAGES[name]()))) == hash(STAGES[name]())
