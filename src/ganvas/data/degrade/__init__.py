"""How good images become bad ones, so that a folder of good images is enough to train a restorer.

A degradation is a function of an image, the seed and the image's place in the endless order of the data: the same
in worker processes or without, in any batch, and after a restart.
"""

from .base import Chance, Degradation
from .kernels import sharpened

__all__ = ["Chance", "Degradation", "sharpened"]
