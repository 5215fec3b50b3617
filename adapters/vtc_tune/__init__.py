"""How few visual tokens your own data needs, and chosen by which method: measured against unpruned answers."""

from .reading import open_data as open_data
from .report import Report as Report
from .report import Result as Result
from .samples import Sample as Sample
from .samples import Skip as Skip
from .tuning import tune as tune
