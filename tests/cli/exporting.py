"""What the tests of `vtc export` share: how what it wrote is looked at."""

from pathlib import Path

COMPARED = "compared with torch: 100.0% of the kept tokens are the same, features differ by "
LAYOUT = ("--layout", "onnx-community")


def size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.2f} MB"


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}
