"""The rules of `vtc_core.methods.greedy` and PACT's cover as ONNX Loops: as many steps as `keep` says at run time.

onnxscript, in the opset that torch's exporter builds in; it is converted to this package's opset afterwards.
"""

# pyright: reportArgumentType=false, reportReturnType=false, reportOperatorIssue=false
# The text is translated, never run as Python.

from onnxscript import BOOL, FLOAT, INT64, opset18, script
from onnxscript.values import Opset

VTC = Opset("vtc", 1)
op = opset18


@script(VTC, default_opset=op)
def farthest(distance: FLOAT, start: FLOAT, keep: INT64) -> INT64:
    number = op.Unsqueeze(op.Range(0, op.Squeeze(op.Shape(start, start=1, end=2)), 1), [0])
    place = op.Unsqueeze(op.Range(0, keep, 1), [0])
    low = op.CastLike(-3.0e38, start)
    taken_low = op.CastLike(-3.4e38, start)
    known = op.Where(op.IsNaN(start), low, op.Max(start, low))
    pick = op.ArgMax(known, axis=1, keepdims=1)
    row = op.Squeeze(op.GatherND(distance, op.Unsqueeze(pick, [2]), batch_dims=1), [1])
    nearest = op.Identity(row)
    taken = op.Equal(number, pick)
    order = op.Expand(pick, op.Concat(op.Shape(pick, start=0, end=1), op.Reshape(keep, [1]), axis=0))
    for i in range(keep - 1):
        gain = op.Identity(nearest)
        known = op.Where(op.IsNaN(gain), low, op.Max(gain, low))
        pick = op.ArgMax(op.Where(taken, taken_low, known), axis=1, keepdims=1)
        taken = op.Or(taken, op.Equal(number, pick))
        order = op.Where(op.Equal(place, i + 1), pick, order)
        row = op.Squeeze(op.GatherND(distance, op.Unsqueeze(pick, [2]), batch_dims=1), [1])
        nearest = op.Min(nearest, row)
    return order


@script(VTC, default_opset=op)
def disperse(similarity: FLOAT, start: FLOAT, keep: INT64) -> INT64:
    number = op.Unsqueeze(op.Range(0, op.Squeeze(op.Shape(start, start=1, end=2)), 1), [0])
    place = op.Unsqueeze(op.Range(0, keep, 1), [0])
    low = op.CastLike(-3.0e38, start)
    taken_low = op.CastLike(-3.4e38, start)
    known = op.Where(op.IsNaN(start), low, op.Max(start, low))
    pick = op.ArgMax(known, axis=1, keepdims=1)
    row = op.Squeeze(op.GatherND(similarity, op.Unsqueeze(pick, [2]), batch_dims=1), [1])
    total = op.Identity(row)
    taken = op.Equal(number, pick)
    order = op.Expand(pick, op.Concat(op.Shape(pick, start=0, end=1), op.Reshape(keep, [1]), axis=0))
    for i in range(keep - 1):
        gain = op.Neg(total)
        known = op.Where(op.IsNaN(gain), low, op.Max(gain, low))
        pick = op.ArgMax(op.Where(taken, taken_low, known), axis=1, keepdims=1)
        taken = op.Or(taken, op.Equal(number, pick))
        order = op.Where(op.Equal(place, i + 1), pick, order)
        row = op.Squeeze(op.GatherND(similarity, op.Unsqueeze(pick, [2]), batch_dims=1), [1])
        total = total + row
    return order


@script(VTC, default_opset=op)
def cover(similarity: FLOAT, keep: INT64) -> INT64:
    start = op.ReduceSum(similarity, [1], keepdims=0)
    number = op.Unsqueeze(op.Range(0, op.Squeeze(op.Shape(start, start=1, end=2)), 1), [0])
    place = op.Unsqueeze(op.Range(0, keep, 1), [0])
    low = op.CastLike(-3.0e38, start)
    taken_low = op.CastLike(-3.4e38, start)
    known = op.Where(op.IsNaN(start), low, op.Max(start, low))
    pick = op.ArgMax(known, axis=1, keepdims=1)
    row = op.Squeeze(op.GatherND(similarity, op.Unsqueeze(pick, [2]), batch_dims=1), [1])
    covered = op.Identity(row)
    taken = op.Equal(number, pick)
    order = op.Expand(pick, op.Concat(op.Shape(pick, start=0, end=1), op.Reshape(keep, [1]), axis=0))
    for i in range(keep - 1):
        gain = op.ReduceSum(op.Relu(similarity - op.Unsqueeze(covered, [2])), [1], keepdims=0)
        known = op.Where(op.IsNaN(gain), low, op.Max(gain, low))
        pick = op.ArgMax(op.Where(taken, taken_low, known), axis=1, keepdims=1)
        taken = op.Or(taken, op.Equal(number, pick))
        order = op.Where(op.Equal(place, i + 1), pick, order)
        row = op.Squeeze(op.GatherND(similarity, op.Unsqueeze(pick, [2]), batch_dims=1), [1])
        covered = op.Max(covered, row)
    return order


@script(VTC, default_opset=op)
def cover_in_order(distance: FLOAT, order: INT64, among: BOOL, cutoff: FLOAT) -> BOOL:
    tokens = op.Squeeze(op.Shape(order, start=1, end=2))
    number = op.Unsqueeze(op.Range(0, tokens, 1), [0])
    within = op.LessOrEqual(distance, op.CastLike(cutoff, distance))
    centre = op.And(among, op.Not(among))
    for i in range(tokens):
        token = op.Gather(order, op.Reshape(i, [1]), axis=1)
        near = op.Squeeze(op.GatherND(within, op.Unsqueeze(token, [2]), batch_dims=1), [1])
        blocked = op.ReduceMax(op.Cast(op.And(near, centre), to=1), [1], keepdims=1)
        free = op.Not(op.Cast(blocked, to=9))
        centre = op.Or(centre, op.And(op.And(op.Equal(number, token), free), among))
    return centre
