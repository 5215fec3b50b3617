"""`python -m vtc_torch.unpickle FOLDER`: the pickled weights of a checkpoint once more, beside them, as safetensors.

Nothing in the pickles is run: torch unpickles tensors alone (`weights_only`), and refuses all else.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import save_file


def unpickle(folder: str | Path) -> list[Path]:
    """Write `model.safetensors`, or for `pytorch_model-00001-of-00002.bin`, ... as many files and their index.

    Raises:
        FileNotFoundError: no pytorch_model*.bin in the folder.
        FileExistsError: there are safetensors already.
        ValueError: a pickle that holds more than tensors.
    """
    pickles = sorted(Path(folder).glob("pytorch_model*.bin"))
    if not pickles:
        raise FileNotFoundError(f"{folder} has no pytorch_model*.bin")
    weight_map: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        for pickle in pickles:
            name = pickle.with_suffix(".safetensors").name.replace("pytorch_model", "model")
            if Path(folder, name).exists():
                raise FileExistsError(f"{Path(folder, name)} is there already")
            tensors = _tensors(pickle)
            save_file(tensors, Path(unfinished, name), {"format": "pt"})
            weight_map |= dict.fromkeys(tensors, name)
        if len(pickles) > 1:
            index = {"metadata": {}, "weight_map": weight_map}
            Path(unfinished, "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
        return [Path(shutil.move(made, folder)) for made in sorted(Path(unfinished).iterdir())]


def _tensors(pickle: Path) -> dict[str, torch.Tensor]:
    try:
        held = torch.load(pickle, map_location="cpu", weights_only=True)
        # Copies: safetensors takes no two names for one memory, as tied weights are pickled.
        return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in held.items()}
    except (UnpicklingError, AttributeError) as error:
        raise ValueError(f"{pickle} holds more than tensors, which could run code, and stays as it is") from error


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m vtc_torch.unpickle FOLDER")
    try:
        print(*unpickle(sys.argv[1]), sep="\n")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
