"""Data sources and data sets.  `Batches` (in `ganvas.data.batches`) and `ganvas.data.transforms` need torch."""

from .dataset import Dataset, Facts
from .sources import BUILT_IN, open_source, parse_resolution

__all__ = ["BUILT_IN", "Dataset", "Facts", "open_source", "parse_resolution"]
