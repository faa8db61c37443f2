"""How good images become bad ones, so that a folder of good images is enough to train a restorer.

A degradation is a function of an image, the seed and the image's place in the endless order of the data: the same
in worker processes or without, in any batch, and after a restart.
"""

from .base import Chance, Degradation, InTurn
from .camera import Bicubic, Jpeg, LensBlur, MotionBlur, Noisy
from .damage import Grey, Holes, Scratches
from .kernels import sharpened
from .second_order import SecondOrder, Stage
from .weather import Haze, LowLight, Rain

DEGRADATIONS: dict[str, type[Degradation]] = {
    "bicubic": Bicubic,
    "lens_blur": LensBlur,
    "motion_blur": MotionBlur,
    "noisy": Noisy,
    "jpeg": Jpeg,
    "second_order": SecondOrder,
    "stage": Stage,
    "haze": Haze,
    "rain": Rain,
    "low_light": LowLight,
    "grey": Grey,
    "holes": Holes,
    "scratches": Scratches,
    "in_turn": InTurn,
}

__all__ = ["DEGRADATIONS", "Chance", "Degradation", "sharpened"]
