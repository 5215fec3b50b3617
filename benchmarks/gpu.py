"""Everything that `vtc bench` measures, on a GPU in bfloat16, under eight minutes, as JSON. Correctness first.

    PYTHONPATH=.:backends:adapters python benchmarks/gpu.py --out gpu.json

Needs no installation: torch >= 2.11, transformers >= 5.17, rich and jaxtyping. Times are CUDA events around
interleaved rounds. `--device cpu` runs the same list on a toy geometry, to see that the script works.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig

from vtc_bench import compile_encoder, costs, memory, prefill, torch_encoder
from vtc_bench.costs import GEOMETRIES, Geometry
from vtc_bench.machine import machine
from vtc_bench.timing import Clock, interleaved, ratio, spread, wall
from vtc_core.methods import METHODS, VtcCls
from vtc_core.methods.method import reads_prompt
from vtc_torch import Pruned, PrunedEncoder, gather

TOY = Geometry(tokens=64, dim=64, mlp=128, depth=4, heads=4, patch=4)
TOY_LANGUAGE = partial(
    LlamaConfig,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    vocab_size=128,
)


def cuda_clock(run: Callable[[], Any], calls: int = 5) -> float:
    """Seconds of one call, by events on the stream: gaps in which the GPU waits for Python are in it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / calls


@torch.inference_mode()
def correctness(g: Geometry, device: str, keep: int) -> dict[str, Any]:
    """Every dtype against float64 on the same device: kept sets, and features where a token is kept by both."""
    exact_tower = torch_encoder.tower(g, device=device, dtype=torch.float64)
    pixel_values = torch_encoder.pixels(g, 4, device, torch.float64)
    exact = PrunedEncoder(exact_tower, keep)(pixel_values)
    whole = torch_encoder.whole(exact_tower, pixel_values)
    out: dict[str, Any] = {"float64, pruned against whole": _difference(exact, whole)}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        tower = torch_encoder.tower(g, device=device, dtype=dtype)
        pruned = PrunedEncoder(tower, keep)(pixel_values.to(dtype))
        shared = (pruned.indices[:, :, None] == exact.indices[:, None]).any(-1).float().mean()
        whole = torch_encoder.whole(tower, pixel_values.to(dtype))
        out[str(dtype)] = {"kept as in float64": shared.item(), "pruned against whole": _difference(pruned, whole)}
    assert out["float64, pruned against whole"] < 1e-9, out
    assert out["torch.float32"]["kept as in float64"] > 0.99, out
    return out


def _difference(pruned: Pruned, features: Tensor) -> float:
    """The largest of a kept feature from that of the whole tower."""
    return (pruned.features - gather(features, pruned.indices)).abs().max().item()


def figures(seconds: Mapping[str, list[float]], pairs: Mapping[str, tuple[str, str, float | None]]) -> dict[str, Any]:
    """Medians of all runs, and for every pair (run, to, floor) the ratio of the rounds."""
    medians = {name: spread(values).median for name, values in seconds.items()}
    ratios = {what: {**ratio(seconds, run, to)._asdict(), "floor": floor} for what, (run, to, floor) in pairs.items()}
    return {"seconds": medians, "ratios": ratios}


def every_method(g: Geometry, device: str, dtype: torch.dtype, batch: int, keep: int, clock: Clock) -> dict[str, Any]:
    """All methods against the whole encoder; on a GPU also what makes the host wait, and replayed CUDA graphs."""
    where: dict[str, Any] = {"device": device, "dtype": dtype}
    tower, pixel_values = torch_encoder.tower(g, **where), torch_encoder.pixels(g, batch, **where)
    runs = {torch_encoder.WHOLE: torch_encoder.without_gradients(partial(torch_encoder.whole, tower, pixel_values))}
    for name, kind in METHODS.items():
        if reads_prompt(kind):
            continue  # an encoder alone has none
        runs[name] = torch_encoder.without_gradients(partial(torch_encoder.pruned(tower, keep, kind()), pixel_values))
    out: dict[str, Any] = {}
    if device == "cuda":
        out["the host waits"] = {name: said for name, run in runs.items() if (said := waits(run))}
        runs |= {f"{name}, graph": replay for name, run in runs.items() if (replay := graphed(run))}
    pairs = {name: (name, torch_encoder.WHOLE, None) for name in runs if name != torch_encoder.WHOLE}
    return out | figures(interleaved(runs, 3, clock, "all methods"), pairs)


def waits(run: Callable[[], Any]) -> str | None:
    """What torch says of the first operation that makes the host wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


def graphed(run: Callable[[], Any]) -> Callable[[], Any] | None:
    """A replay of what `run` does, or None where it cannot be captured."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            run()
    except RuntimeError:
        return None
    return graph.replay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    began = time.monotonic()
    gpu = options.device == "cuda"
    dtype = torch.bfloat16 if gpu else torch.float32
    clock = cuda_clock if gpu else wall
    g = GEOMETRIES["vit-l-336"] if gpu else TOY
    languages = prefill.LANGUAGE_MODELS if gpu else {"toy": TOY_LANGUAGE}
    batches = (1, 4, 16, 64) if gpu else (1, 2)
    keeps = (g.tokens // 9, g.tokens // 3)
    result: dict[str, Any] = {"machine": machine(torch_encoder.PACKAGES, options.device)}

    def save() -> None:  # after every part: a run that is cut off has what it measured
        result["minutes"] = (time.monotonic() - began) / 60
        options.out.write_text(json.dumps(result, indent=1))

    result["correctness"] = correctness(g, options.device, keeps[0])
    save()
    for batch in batches:
        pixel_values = torch_encoder.pixels(g, batch, options.device, dtype)
        for keep in keeps:
            runs = torch_encoder.runs(g, pixel_values, keep, VtcCls())
            if gpu:
                runs |= compile_encoder.runs(g, pixel_values, keep, VtcCls())
            seconds = interleaved(runs, 5, clock, f"encoder, batch {batch}, keep {keep}")
            floor = costs.pruned(g, keep) / costs.whole(g)
            pairs = {f"pruned / {to}": (torch_encoder.PRUNED, to, floor) for to in runs if to != torch_encoder.PRUNED}
            result[f"encoder, batch {batch}, keep {keep}"] = figures(seconds, pairs)
            save()
    for kind in (dtype, torch.float16) if gpu else (dtype,):
        result[f"all methods, {kind}"] = every_method(g, options.device, kind, batches[1], keeps[0], clock)
        save()
    if gpu:
        for name in torch_encoder.NAMES:
            result[f"memory, batch 16, {name}"] = memory.peak(g, name, 16, keeps[0], VtcCls(), "cuda")
    for language, config in languages.items():
        for batch in batches[:2]:
            pixel_values = torch_encoder.pixels(g, batch, options.device, dtype)
            runs = prefill.runs(g, config(), pixel_values, keeps[0], VtcCls())
            seconds = interleaved(runs, 5, partial(cuda_clock, calls=1) if gpu else wall, f"prefill, {language}")
            floors = prefill.floors(g, config(), keeps[0], VtcCls())
            pairs = {what: (f"{what}, {keeps[0]}", f"{what}, {g.tokens}", floors.get(what)) for what in prefill.WORK}
            result[f"prefill, {language}, batch {batch}"] = figures(seconds, pairs)
            save()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
