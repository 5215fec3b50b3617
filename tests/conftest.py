"""One thread a process: the models of the tests are so small that a second one only gets in the way."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which no plugin does
collect_ignore = ["vllm", "lmms"]  # have environments, and a pytest.ini each, of their own
