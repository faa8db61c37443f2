"""Synthetic degradations: they make the inputs of a restorer from a folder of good images.

A degradation is a function of an image, the seed and the image's position in the endless order of the data: the same
with worker processes or without, in any batch, and after a restart.
"""

from .base import Degradation, RandomStream
from .kernels import sharpen

__all__ = ["Degradation", "RandomStream", "sharpen"]
