"""The small LLaVA-1.5 of most tests; others have pairs of their own."""

import pytest
from small_models import make_llava, make_processor


@pytest.fixture
def pair():
    return make_llava(), make_processor()
