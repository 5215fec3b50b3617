"""XLA without LLVM's optimisations: making code takes the time here, not running it. All of XLA's own passes stay.

test_sharding.py, in a process of its own, has them as users do.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # read when JAX makes its first array
