"""Visual-token pruning in PyTorch: the verbs of `vtc_core`, and an encoder that is cheaper pruned than whole."""

from vtc_core import resolve_layers as resolve_layers

from .encoder import PrunedEncoder as PrunedEncoder
from .packed import pack as pack
from .protocol import devices as devices
from .protocol import dtypes as dtypes
from .protocol import from_numpy as from_numpy
from .protocol import load_encoder as load_encoder
from .protocol import to_numpy as to_numpy
from .protocol import variants as variants
from .pruner import Pruner as Pruner
from .received import received_attention as received_attention
from .verbs import Pruned as Pruned
from .verbs import attend as attend
from .verbs import gather as gather
from .verbs import prune as prune
from .verbs import scan as scan
from .verbs import score as score
from .verbs import select as select
