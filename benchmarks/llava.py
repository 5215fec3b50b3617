"""What pruning saves around the encoder: memory, the language model's prefill, and how both grow; recorded.

    python benchmarks/llava.py [memory] [prefill] [growth] [growth-b]

The same as `vtc bench memory`, `prefill` and `growth` (of ViT-L/14-336 and of ViT-B/16), into RESULTS.md and
`benchmarks/plots/`.
"""

import argparse
from pathlib import Path

from results import write_section

from vtc_bench import report

PLOTS = Path(__file__).with_name("plots")
SUBJECTS = {
    "memory": ("Memory", lambda: report.memory("vit-l-336", batch=4)),
    "prefill": ("Prefill", lambda: report.prefill("vit-l-336", "0.5b")),
    "growth": ("Growth, ViT-L", lambda: report.growth("vit-l-336", PLOTS)),
    "growth-b": ("Growth, ViT-B", lambda: report.growth("vit-b-224", PLOTS, rounds=7)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", choices=[[], *SUBJECTS], default=[], metavar="|".join(SUBJECTS))
    for subject in parser.parse_args().subjects or SUBJECTS:
        title, measure = SUBJECTS[subject]
        made = measure()
        print(made.body)
        write_section(title, f"python benchmarks/llava.py {subject}", made.body, made.packages)


if __name__ == "__main__":
    main()
