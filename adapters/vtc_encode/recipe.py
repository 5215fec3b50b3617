"""What a worker is told, wherever it runs."""

from dataclasses import dataclass, field

from vtc_core.methods import Method, VtcCls


@dataclass(frozen=True)
class Recipe:
    """All that a worker is made of, wherever it runs."""

    checkpoint: str  # folder or hub id of a CLIP or LLaVA checkpoint
    keep: int
    method: Method = field(default_factory=VtcCls)
    dtype: str = "float16"  # of the stored features; on a GPU the encoder computes in it too
    device: str = "cpu"
    batch: int = 16
    threads: int = 2  # that decode
    strict: bool = False
    fast_decode: bool = False  # large JPEGs at a fraction of their size, of at least twice the encoder's
    packed: bool = False  # the tower's weights laid out for this CPU

    @property
    def computed(self) -> str:
        return "float32" if self.device == "cpu" else self.dtype
