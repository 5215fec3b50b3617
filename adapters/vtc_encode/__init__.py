"""Pruned features of a corpus in a folder of parquet shards: encode once, ask many times. Resumable at any instant."""

from .corpus import encode as encode
from .corpus import prepare as prepare
from .local import local as local
from .recipe import Recipe as Recipe
from .refused import Refused as Refused
from .shards import Outcome as Outcome
from .shards import Settings as Settings
from .sources import open_source as open_source
from .worker import Worker as Worker
