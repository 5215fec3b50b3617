"""How fast is a corpus encoded, in this process and on Ray, and how much of that is not the encoder? Recorded.

    python benchmarks/encode.py [--geometry vit-b-224] [--photo 640x480] [--pictures 256] [--rounds 3]

Random weights and JPEGs of noise and colour. Loading the model and starting the cluster are not counted, but each run
on Ray starts its actors, as any run there does. Decoding runs in threads, beside the encoder: not in the encoder
is the time that it waits for them, or for the disk.
"""

import argparse
import copy
import logging
import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
from results import write_section
from transformers import CLIPImageProcessorPil

from vtc_bench import costs, timing, torch_encoder
from vtc_bench.photos import photo
from vtc_bench.timing import Run
from vtc_encode import Recipe, Worker, corpus, local, open_source
from vtc_encode.ray_engine import on_ray

PACKAGES = ("torch", "transformers", "pyarrow", "ray")
LOCAL, FAST = "this process", "this process, --fast-decode"
WORKERS = {LOCAL: 1, FAST: 1, "Ray, 1 worker": 1, "Ray, 2 workers": 2}


def checkpoint(geometry: str, folder: Path) -> Path:
    tower = torch_encoder.tower(costs.GEOMETRIES[geometry])
    tower.save_pretrained(folder)
    side = tower.config.image_size
    CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(
        folder
    )
    return folder


def photos(number: int, size: tuple[int, int], folder: Path) -> Path:
    folder.mkdir()
    for i in range(number):
        (folder / f"{i:05}.jpg").write_bytes(photo(i, *size))
    return folder


def size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def runs(
    workers: dict[str, Worker], words: Path, out: Path, shard_size: int
) -> tuple[dict[str, Run], dict[str, list[float]]]:
    """Name to run, each time into a new folder; and by name the seconds in encoders, to which every run adds."""
    source = open_source(str(words))
    inside: dict[str, list[float]] = {name: [] for name in WORKERS}

    def run(name: str) -> None:
        each = copy.copy(workers.get(name, workers[LOCAL]))
        each.recipe = replace(each.recipe, threads=max(1, (os.cpu_count() or 1) // WORKERS[name]))
        engine = local if name in workers else partial(on_ray, workers=WORKERS[name])
        folder = Path(tempfile.mkdtemp(dir=out))
        with corpus.prepare(folder, each.settings(source, shard_size)) as plan:
            inside[name].append(corpus.encode(each, source, folder, plan, lambda pictures: None, engine).seconds)

    return {name: partial(run, name) for name in WORKERS}, inside


def table(seconds: dict[str, list[float]], inside: dict[str, list[float]], pictures: int) -> str:
    rows = [
        "| | pictures per second, median | min-max | of this process's time | not in the encoder |",
        "|---|---|---|---|---|",
    ]
    for name, taken in seconds.items():
        rate = timing.spread([pictures / each for each in taken])
        ratio = timing.ratio(seconds, name, LOCAL)
        busy = inside[name][1:]  # without the round that warmed up
        other = timing.spread([1 - a / (b * WORKERS[name]) for a, b in zip(busy, taken, strict=True)])
        rows.append(
            f"| {name} | {rate.median:.3g} | {rate.low:.3g}-{rate.high:.3g} | {ratio.median:.2f} | {other.median:.0%} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=costs.GEOMETRIES, default="vit-b-224")
    parser.add_argument("--photo", type=size, default=(640, 480), help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--shard-size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tokens = costs.GEOMETRIES[options.geometry].tokens
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = checkpoint(options.geometry, folder / "model")
        words = photos(options.pictures, options.photo, folder / "photos")
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
        ray.init("local", num_cpus=max(2, os.cpu_count() or 1), include_dashboard=False, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        recipe = Recipe(str(model), keep=round(tokens / 9), batch=options.batch)
        workers = {LOCAL: Worker(recipe), FAST: Worker(replace(recipe, fast_decode=True))}
        named, inside = runs(workers, words, folder, options.shard_size)
        seconds = timing.interleaved(named, options.rounds, title="encoding")
        ray.shutdown()
    note = (
        f"{options.pictures} JPEGs of {options.photo[0]} x {options.photo[1]}, encoder {options.geometry} "
        "(CLIP geometry, random weights), float32, "
        f"{round(tokens / 9)} of {tokens} tokens, batch {options.batch}, shards of {options.shard_size}; "
        f"{options.rounds} interleaved rounds. The CPUs are shared out among the workers; a run on Ray "
        "starts its actors, each of which loads the model. Not in the encoder: of the time of all workers."
    )
    body = f"{table(seconds, inside, options.pictures)}\n\n{note}"
    print(body)
    large = "" if options.photo == (640, 480) else f", photographs of {options.photo[0]} x {options.photo[1]}"
    write_section(
        f"Encode a corpus{large}", f"python {' '.join(['benchmarks/encode.py', *sys.argv[1:]])}", body, PACKAGES
    )


if __name__ == "__main__":
    main()
