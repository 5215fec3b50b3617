"""The specification of visual-token pruning by [CLS] attention, on NumPy arrays.

Read `spec.py` top to bottom: it is the method. `checks.py` holds every refusal, shared by all backends.
"""

from .protocol import dtypes as dtypes
from .protocol import from_numpy as from_numpy
from .protocol import to_numpy as to_numpy
from .scanning import scan as scan
from .spec import Pruned as Pruned
from .spec import attend as attend
from .spec import gather as gather
from .spec import prune as prune
from .spec import resolve_layers as resolve_layers
from .spec import score as score
from .spec import select as select
