"""What does pruning save a server? Stock `vllm serve` and the same with the plugin, side by side; recorded.

    python benchmarks/serving.py [--geometry vit-l-336] [--dtype bfloat16] [--method vtc-cls] [--burst 16] [--rounds 5]

A LLaVA with a language model of Qwen2-0.5B geometry and random weights, asked over HTTP by the OpenAI client: one
request alone, then a burst of them at once, of stock and plugin in turn. The same pictures for both and others in every
round; that no cache of vLLM answered is read from its metrics. On CPUs, where vLLM and openai are installed: in
bfloat16, as it would be served (with AMX the first token comes five times sooner than in float32), and not compiled
(that takes minutes, and the first token comes no sooner). Both servers take about 14 GB together, in float32 18.
"""

import argparse
import operator
import os
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import torch
from openai import OpenAI  # pyright: ignore[reportMissingImports]
from results import write_section

from vtc_bench import costs, prefill, random_llava, serving, timing
from vtc_bench.server import vllm_server
from vtc_core.methods import method_of, saved, spelled

PACKAGES = ("vllm", "torch", "transformers")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=costs.GEOMETRIES, default="vit-l-336")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--method", default="vtc-cls")
    parser.add_argument("--burst", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    g, config = costs.GEOMETRIES[options.geometry], prefill.LANGUAGE_MODELS["0.5b"]()
    keep, method = round(g.tokens / 9), method_of(options.method)
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    arguments = ("--dtype", options.dtype, "--max-model-len", "1024", "--enforce-eager", "--served-model-name", "llava")
    with tempfile.TemporaryDirectory() as name, ExitStack() as servers:
        folder = Path(name) / "llava"
        random_llava.write(g, config, DTYPES[options.dtype], folder)
        addresses = {
            serving.STOCK: servers.enter_context(vllm_server(folder, None, *arguments)),
            serving.PLUGIN: servers.enter_context(
                vllm_server(folder, {"keep": keep, "method": saved(method)}, *arguments)
            ),
        }
        clients = {
            server: OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
            for server, address in addresses.items()
        }
        runs, answers = serving.runs(clients, options.burst)
        seconds = timing.interleaved(runs, options.rounds, operator.call, "serving")
        for server, address in addresses.items():
            with urllib.request.urlopen(f"{address}/metrics") as metrics:
                if hits := serving.cache_hits(metrics.read().decode()):
                    raise RuntimeError(f"{server} took {hits:.0f} tokens or pictures from a cache")
    counted = {server: of[1:] for server, of in answers.items()}  # without the round that warmed up
    body = serving.table(seconds, counted, options.burst, serving.floor(g, config, keep, method))
    body += (
        f"\n\nEncoder {options.geometry} (CLIP geometry), language model of 0.5b geometry, random weights, "
        f"{options.dtype}, keep={keep} of {g.tokens}, method {spelled(method)}; JPEGs of 640 x 480, "
        f"{prefill.TEXT} tokens of text, {prefill.STEPS} of answer; {options.rounds} interleaved rounds. "
        "vLLM's defaults but for `--enforce-eager`, and so its binding of threads: all cores compute but one. "
        "No cache was hit."
    )
    print(body)
    write_section("Serving", f"python {' '.join(['benchmarks/serving.py', *sys.argv[1:]])}", body, PACKAGES)


if __name__ == "__main__":
    main()
