"""Visual-token pruning in JAX: the verbs of `vtc_core`, and a Flax CLIP encoder that is cheaper pruned than whole."""

from vtc_core import resolve_layers as resolve_layers

from .encoder import PrunedEncoder as PrunedEncoder
from .interop import devices as devices
from .interop import dtypes as dtypes
from .interop import from_numpy as from_numpy
from .interop import load_encoder as load_encoder
from .interop import to_numpy as to_numpy
from .interop import variants as variants
from .pruner import Pruner as Pruner
from .received import received_attention as received_attention
from .verbs import Pruned as Pruned
from .verbs import attend as attend
from .verbs import gather as gather
from .verbs import prune as prune
from .verbs import scan as scan
from .verbs import score as score
from .verbs import select as select
