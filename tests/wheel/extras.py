"""The wheel in empty environments, with one extra each: does it install, and do the smallest thing that it is for?

python tests/wheel/extras.py                # the bare wheel, and one extra, chosen by the commit: what CI runs
python tests/wheel/extras.py torch jax      # these
python tests/wheel/extras.py --all          # every one: gigabytes, and a quarter of an hour
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKS = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.sh"))}  # run in an empty folder
BARE = "bare"
ELSEWHERE = ("vllm", "lmms", "test")  # CI installs these three itself: other requirements, and a checkout


def check(wheel: Path, extra: str) -> None:
    """In an environment of its own; a CalledProcessError if anything fails."""
    print(f"== the wheel in an empty environment: {extra}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        programs = Path(folder, "environment", "bin")
        venv.create(programs.parent, with_pip=True)
        empty = Path(folder, "empty")
        empty.mkdir()
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"PATH": f"{programs}{os.pathsep}{environment['PATH']}", "ROOT": str(ROOT)}
        wanted = f"vtc-cls{'' if extra == BARE else f'[{extra}]'} @ {wheel.resolve().as_uri()}"
        for words in (
            ("pip", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", wanted),
            ("bash", "-eu", CHECKS[extra]),
        ):
            subprocess.run(words, cwd=empty, env=environment, check=True)


def declared() -> list[str]:
    """The extras of pyproject.toml that are checked here; each has a script, and no other has."""
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = [name for name in names if name not in ELSEWHERE]
    assert {BARE, *extras} == set(CHECKS), f"pyproject.toml and the scripts differ: {set(extras) ^ set(CHECKS)}"
    return extras


def of_this_commit(extras: list[str]) -> str:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return extras[int(head[:8], 16) % len(extras)]


def main() -> None:
    extras = declared()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=", ".join(CHECKS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--wheel", type=Path, help="left out: it is built")
    given = parser.parse_args()
    if unknown := set(given.extras) - set(CHECKS):
        parser.error(f"EXTRA must be some of {', '.join(CHECKS)}, got {', '.join(sorted(unknown))}")
    chosen = list(CHECKS) if given.all else given.extras or [BARE, of_this_commit(extras)]
    with tempfile.TemporaryDirectory() as folder:
        if given.wheel is None:
            subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
        for extra in chosen:
            check(given.wheel or next(Path(folder).glob("*.whl")), extra)


if __name__ == "__main__":
    main()
