"""Where the pictures come from.  `Batches` (in `ganvas.data.batches`) and `ganvas.data.transforms` need torch."""

from ganvas.data.dataset import Dataset, Facts
from ganvas.data.sources import SOURCES, open_source, parse_resolution

__all__ = ["SOURCES", "Dataset", "Facts", "open_source", "parse_resolution"]
