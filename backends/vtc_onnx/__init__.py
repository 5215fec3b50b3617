"""Visual-token pruning as ONNX graphs: the verbs of `vtc_core`, and pruned encoders exported to files."""

from vtc_core import Pruned as Pruned
from vtc_core import resolve_layers as resolve_layers

from .encoder import PrunedEncoder as PrunedEncoder
from .export import Report as Report
from .export import export as export
from .folder import export_folder as export_folder
from .protocol import dtypes as dtypes
from .protocol import encoder_dtypes as encoder_dtypes
from .protocol import from_numpy as from_numpy
from .protocol import load_encoder as load_encoder
from .protocol import to_numpy as to_numpy
from .pruner import Pruner as Pruner
from .verbs import attend as attend
from .verbs import gather as gather
from .verbs import prune as prune
from .verbs import score as score
from .verbs import select as select
