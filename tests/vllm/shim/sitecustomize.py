"""For tests on machines where torchvision is a CUDA build and torch a CPU build: put this folder on PYTHONPATH.

That torchvision cannot be imported, since it registers fakes of operators that its library, which fails to load, should
have defined. vLLM imports it for models that these tests do not run; the two names are enough. Python runs this file at
the start of every process, vLLM's own workers among them.
"""

import sys
from importlib.abc import MetaPathFinder


class _BeforeTorchvision(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            self.library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                self.library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


_FINDER = _BeforeTorchvision()  # and its library, which undefines its operators when it is let go
sys.meta_path.insert(0, _FINDER)
