"""Texts of the cards of the pack: purpose, commands, licences, limits; pack_measure.py adds the figures."""

from __future__ import annotations

from typing import Any

WEIGHTS = "Apache-2.0 (weights)"
PHOTOGRAPHS = (
    "48 photographs (Sun and Hays 2012, for research) and china, flower, motorcycle_left and rocket of scikit-learn"
    " and scikit-image (CC BY 2.0, CC0 and public domain)"
)
SMALL = "Learnt from 52 photographs in minutes of one thread: larger published networks are better."


def restores(purpose: str, *limits: str, **more: Any) -> dict[str, Any]:
    """The texts of a restoration model."""
    return {
        "purpose": purpose,
        "commands": ["restore"],
        "license": f"{WEIGHTS}; photographs: Sun and Hays 2012, for research",
        "data": f"{PHOTOGRAPHS}, degraded by the training",
        "limits": [*limits, SMALL],
        **more,
    }


def paints(style: str) -> dict[str, Any]:
    """The texts of a style model."""
    return {
        "purpose": f"Repaints photographs as {style}.",
        "commands": ["stylize"],
        "license": f"{WEIGHTS}; style image: drawn by benchmarks/pack_styles.py, the project's own",
        "data": f"{PHOTOGRAPHS}; one style image drawn by the project",
        "limits": ["One fixed style; strokes have a fixed size in pixels, so a smaller image looks coarser."],
    }


CARDS: dict[str, dict[str, Any]] = {
    "x4_sharp": {
        "purpose": "Enlarges photographs by 4, sharper than x4; fine texture is partly invented.",
        "commands": ["upscale"],
        "scale": 4,
        "license": f"{WEIGHTS}; photographs: Sun and Hays 2012, for research",
        "data": f"{PHOTOGRAPHS}, reduced by MATLAB's bicubic; seen by the loss through EfficientNet-Lite1 (Apache-2.0)",
        "limits": [
            "Farther from the truth in pixels than x4; texture is invented: not for measurements or evidence.",
            "Expects clean images: noise and JPEG artefacts are enlarged, too.",
            "Edges may be faintly dotted.",
        ],
    },
    "clean": restores(
        "Removes noise and JPEG artefacts of any strength, and leaves clean images nearly as they are.",
        "Noise is Gaussian, up to a standard deviation of 50 levels, JPEG of quality 10 to 95; no blur, no scratches.",
        "JPEG artefacts are reduced by half a decibel only, less where the blocks do not begin at the corner.",
        default_for="restore",
    ),
    "inpaint": restores(
        "Fills holes that a mask marks: scratches, stains, small objects.",
        "Large holes become smooth: it continues edges and colours, and invents no objects.",
        default_for="restore",
        masked=True,
    ),
    "colorize": restores(
        "Gives grey photographs plausible colours; the lightness is kept.",
        "Colours are guesses, mostly of skies, plants, stone and skin, and often pale.",
        data=f"CIFAR-10's training images (Krizhevsky 2009), and {PHOTOGRAPHS}, reduced and made grey",
    ),
    "dehaze": restores(
        "Removes haze and fog.",
        "Learnt from synthetic haze, which changes slowly and grows with height in the image.",
    ),
    "lowlight": restores(
        "Brightens photographs that are underexposed by 1 to 4 stops, and removes their noise.",
        "The right brightness is a guess from the image alone; night scenes become grey days.",
    ),
    "paint_ink": paints("ink hatching on paper"),
    "paint_mosaic": paints("a mosaic of small stones"),
    "paint_oil": paints("an oil painting of whirling strokes"),
    "paint_pointillism": paints("dots of unmixed colours"),
    "digits": {
        "purpose": "Generates handwritten digits 0 to 9 of 28x28 pixels, by class.",
        "commands": ["sample"],
        "license": "CC BY-SA 3.0, as MNIST, from which the weights are derived",
        "data": "60,000 training images of MNIST (LeCun, Cortes and Burges 1998; CC BY-SA 3.0)",
        "limits": ["28x28 pixels, grey, one digit; a GAN of 0.5 million weights."],
    },
    "emoji": {
        "purpose": "Draws emoji of 64x64 pixels with transparency, by caption.",
        "commands": ["sample"],
        "license": f"{WEIGHTS}; drawings: Noto emoji, Apache-2.0",
        "data": "3,545 Noto emoji with their captions in English (Google; Apache-2.0)",
        "limits": [
            "It knows its training images nearly by heart and draws those; noise changes little.",
            "A caption of words that it never saw gets a blot in likely colours.",
            "By caption only: the data name no categories.",
        ],
    },
}
