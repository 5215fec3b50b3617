"""The family `vipllava`: as `llava`, with five feature layers concatenated.

The scores come from the last K useful layers, counted from the latest feature layer; the indices apply to all five.
"""

from transformers import VipLlavaForConditionalGeneration

from .family import Family
from .llava import layouts

FAMILY = Family(VipLlavaForConditionalGeneration, {"image": "vision_tower"}, layouts, several=False, stacked=True)
