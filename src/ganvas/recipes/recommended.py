"""The recommended recipe for data, as a table of rules: the first that fits is taken."""

import math
from dataclasses import dataclass
from typing import Literal

MANY = 10_000  # images; a longer run pays
EACH = 500  # images of a class, from which labels help
MOST_CLASSES = 100
FEW_MINUTES = 10


@dataclass(frozen=True)
class Shape:
    """Properties of data that decide on a recipe."""

    images: int
    kind: Literal["images", "points"] = "images"
    sources: Literal["none", "paired", "unpaired"] = "none"
    scale: int = 1  # how many times larger images are than their sources
    classes: int = 0  # 0 without labels
    each: int = 0  # images of the smallest class
    colours: bool = False
    minutes: float = math.inf  # time limit of the run


@dataclass(frozen=True)
class Rule:
    """A recipe, the data that it is for, and what is changed for them."""

    recipe: str
    why: str
    kind: Literal["images", "points"] = "images"
    sources: Literal["none", "paired", "unpaired"] = "none"
    enlarges: bool = False
    classes: bool = False  # labelled well enough to learn the classes
    colours: bool = False  # images in colour
    minutes: float = math.inf  # longest time limit
    largest: int | None = None  # longest side in pixels on a processor, without --resolution; None: the preset's
    least: int = 0  # images
    changes: tuple[str, ...] = ()  # path=value, as --set takes them

    def fits(self, data: Shape) -> bool:
        """True for data that this rule is for."""
        labelled = 2 <= data.classes <= MOST_CLASSES and data.each >= EACH
        alike = (self.kind, self.sources, self.enlarges) == (data.kind, data.sources, data.scale > 1)
        enough = data.images >= self.least and data.minutes <= self.minutes and data.colours >= self.colours
        return alike and enough and (labelled or not self.classes)


BY_CLASS = ("conditional=true", "discriminator.head=auxiliary_classifier")
RULES = (
    Rule("wgan_gp_points", "points in the plane", kind="points"),
    Rule("cyclegan", "two unpaired sets of images", sources="unpaired"),
    Rule("compact", "pairs of small and large images", sources="paired", enlarges=True),
    Rule("pix2pix", "pairs of images", sources="paired"),
    Rule("dcgan_small", "many images of few classes", classes=True, least=MANY, changes=(*BY_CLASS, "images=200_000")),
    Rule("dcgan_small", "images of few classes", classes=True, changes=BY_CLASS),
    # steps at half the size take a quarter of the time, and shapes need many: at 64 pixels emoji are blots by then
    Rule(
        "dcgan_small",
        "images in colour and a few minutes",
        colours=True,
        minutes=FEW_MINUTES,
        largest=32,
        changes=("images=200_000",),
    ),
    Rule("dcgan_small", "many images", least=MANY, changes=("images=200_000",)),
    Rule("dcgan_small", "images"),
)


def recommend(data: Shape) -> Rule:
    """The first rule of `RULES` that fits."""
    return next(rule for rule in RULES if rule.fits(data))
