"""Options of our networks from the layers of a file of Keras.

The layers may be anything: what is inferred here is compared afterwards with a network of such options, layer by layer.
`facts` are the shape of the images a file takes (`image`), and its shares of dropout (`dropout`).
"""

import math
from collections.abc import Mapping
from typing import Any

from ..config import Spec
from ..networks.heads import AuxiliaryClassifier, Joint, Plain, Projection
from ..networks.keras_dcgan import LESSON_OF_FACES
from .keras_rows import Row

Options = dict[str, Any]
Facts = Mapping[str, Any]
FACES = LESSON_OF_FACES["discriminator"]
STRIDES = {3: (1, 2, 2), 4: (2, 2, 2, 1)}  # of the lessons, for files of weights alone


def of_kind(rows: list[Row], kind: str) -> list[Row]:
    """The rows of a kind with weights, without the map of a label vector."""
    return [row for row in rows if row.kind == kind and row.weights and not row.name.endswith("_embed")]


def first_option(rows: list[Row], kind: str, key: str, default: Any) -> Any:
    """An option of the first row of a kind that has it."""
    return next((row.options[key] for row in rows if row.kind == kind and key in row.options), default)


def embedded(rows: list[Row], name: str, key: str) -> Options:
    """The labels of an embedding: how many classes or attributes, and its size under `key`."""
    for row in rows:
        if row.weights and (row.kind == "Embedding" or row.name.endswith("_embed")) and row.name in ("", name):
            kind = "classes" if row.kind == "Embedding" else "attributes"
            return {kind: row.shapes[0][0], key: row.shapes[0][1]}
    return {}


# --- generators --------------------------------------------------------------------------------------------


def noise(rows: list[Row]) -> Options:
    """Latent size and labels of a generator, by its first dense layer."""
    labels = embedded(rows, "join_embed", "label_size")
    return {"latent": of_kind(rows, "Dense")[0].shapes[0][0] - labels.get("label_size", 0), **labels}


def smallest_map(rows: list[Row]) -> tuple[int, int, int]:
    """Height, width and channels of the map after the dense layers."""
    channels = of_kind(rows, "Conv2DTranspose")[0].shapes[0][3]
    side = math.isqrt(of_kind(rows, "Dense")[-1].shapes[0][1] // channels)
    shape: tuple[int, int, int] = first_option(rows, "Reshape", "target_shape", (side, side, channels))
    return shape


def enlarged(rows: list[Row], factor: int) -> tuple[int, int]:
    """Height and width of the image: the smallest map times the factor, less what is cut."""
    height, width, _ = smallest_map(rows)
    cut = first_option(rows, "Cropping2D", "cropping", ((0, 0), (0, 0)))
    return height * factor - sum(cut[0]), width * factor - sum(cut[1])


def factored(channels: list[int]) -> Options:
    """Channels as a width and its multiples."""
    width = math.gcd(*channels)
    return {"width": width, "multiples": tuple(c // width for c in channels)}


def keras_generator(rows: list[Row], facts: Facts) -> Options:
    """Options of `keras_dcgan_generator`."""
    ups = of_kind(rows, "Conv2DTranspose")
    shapes = [row.shapes[0] for row in ups]
    usual = STRIDES.get(len(ups), (2,) * len(ups))
    strides = tuple(row.options.get("strides", (s, s))[0] for row, s in zip(ups, usual))
    norm = "batch" if of_kind(rows, "BatchNormalization") else "none"
    return {
        **noise(rows),
        **factored([shape[3] for shape in shapes]),
        "strides": strides,
        "kernel": shapes[0][0],
        "last_kernel": shapes[-1][0],
        "norm": norm,
        "slope": first_option(rows, "LeakyReLU", "negative_slope", 0.3 if norm == "batch" else 0.2),
        "channels": shapes[-1][2],
        "resolution": enlarged(rows, math.prod(strides)),
    }


def dcgan_generator(rows: list[Row], facts: Facts) -> Options:
    """Options of `dcgan_generator`."""
    shapes = [row.shapes[0] for row in of_kind(rows, "Conv2DTranspose")]
    sides = enlarged(rows, 2 ** len(shapes))
    return {**noise(rows), **widths([s[3] for s in shapes][::-1]), "channels": shapes[-1][2], "resolution": sides}


def dcgan_variant_generator(rows: list[Row], facts: Facts) -> Options:
    """Options of `dcgan_variant_generator` with a dense layer."""
    return {**dcgan_generator(rows, facts), "hidden": of_kind(rows, "Dense")[0].shapes[0][1]}


def widths(channels: list[int]) -> Options:
    """Channels, the largest map first, as a width that doubles up to a limit."""
    limit = {} if channels[-1] == channels[0] << (len(channels) - 1) else {"max_width": channels[-1]}
    return {"width": channels[0], **limit}


def dense_generator(rows: list[Row], facts: Facts) -> Options:
    """Options of `mlp_generator`."""
    shapes = [row.shapes[0] for row in of_kind(rows, "Dense")]
    units = shapes[-1][1]
    channels = 1 if math.isqrt(units) ** 2 == units else 3
    side = math.isqrt(units // channels)
    shape = first_option(rows, "Reshape", "target_shape", (channels, side, side))
    turned = any(row.kind == "Permute" for row in rows)
    channels, height, width = shape if turned or shape[2] != 1 else (shape[2], *shape[:2])
    sizes = {"width": shapes[0][1], "depth": len(shapes) - 1, "activation": activation(rows)}
    return {**noise(rows), **sizes, "channels": channels, "resolution": (height, width)}


def activation(rows: list[Row]) -> str:
    """The activation of the hidden layers."""
    hidden = [row for row in rows if row.kind in ("Activation", "LeakyReLU")]
    if not hidden or hidden[0].kind == "LeakyReLU":
        return "leaky_relu" if hidden else "relu"
    return str(hidden[0].options["activation"])


# --- discriminators ----------------------------------------------------------------------------------------


def image(rows: list[Row], facts: Facts, channels: int, cells: int, factor: int) -> Options:
    """Labels, channels and size of a discriminator's image: as the file says, else a square of so many cells."""
    labels = embedded(rows, "join_embed", "join_size")
    joined = bool(labels.pop("join_size", 0))
    side = math.isqrt(cells) * factor
    size = tuple(facts.get("image", (side, side))[:2])
    return {**labels, "join": joined, "channels": channels - joined, "resolution": size}


def head(rows: list[Row]) -> Options:
    """The head by the names that export gives its layers, else a plain one; and its labels."""
    names, logits = {row.name for row in rows}, of_kind(rows, "Dense")[-1]
    if "head_classify" in names:
        classify = next(row for row in rows if row.name == "head_classify")
        return {"head": Spec(AuxiliaryClassifier), "classes": classify.shapes[0][1]}
    labels = embedded(rows, "head_embed", "size")
    if "head_inner" in names:
        labels.pop("size")
        return {"head": Spec(Projection), **labels}
    if "head_join" in names:
        return {"head": Spec(Joint, size=labels.pop("size"), width=logits.shapes[0][0]), **labels}
    return {"head": Spec(Plain, bias=len(logits.weights) > 1)}


def first_dense(rows: list[Row]) -> int:
    """Inputs of the first dense layer."""
    return of_kind(rows, "Dense")[0].shapes[0][0]


def keras_discriminator(rows: list[Row], facts: Facts) -> Options:
    """Options of `keras_dcgan_discriminator`; one that ends in a sigmoid sees images in [0, 1], as in its lesson."""
    shapes = [row.shapes[0] for row in of_kind(rows, "Conv2D")]
    n, kernel = len(shapes), shapes[0][0]
    inside = _of_layers(rows, facts, n) if facts["complete"] else FACES if kernel == FACES["kernel"] else {}
    return {
        **inside,
        **factored([shape[3] for shape in shapes]),
        "kernel": kernel,
        **image(rows, facts, shapes[0][2], first_dense(rows) // shapes[-1][3], 2**n),
        **head(rows),
    }


def _of_layers(rows: list[Row], facts: Facts, convolutions: int) -> Options:
    """Options of `keras_dcgan_discriminator` that its layers without weights give."""
    dropout = facts["dropout"]
    return {
        "slope": first_option(rows, "LeakyReLU", "negative_slope", 0.3),
        "dropout": dropout[0] if dropout else 0.0,
        "dropout_every": len(dropout) in (0, convolutions),
        "unit_range": facts["unit_range"],
    }


def dcgan_discriminator(rows: list[Row], facts: Facts) -> Options:
    """Options of `dcgan_discriminator`, which has no dropout and sees images in [-1, 1]."""
    if facts["dropout"] or facts["unit_range"]:
        raise ValueError
    shapes = [row.shapes[0] for row in of_kind(rows, "Conv2D")]
    kinds = {"BatchNormalization": "batch", "GroupNormalization": "layer"}
    norm = next((kinds[row.kind] for row in rows if row.kind in kinds), "none")
    cells = first_dense(rows) // shapes[-1][3]
    sides = image(rows, facts, shapes[0][2], cells, 2 ** len(shapes))
    return {**widths([s[3] for s in shapes]), "norm": norm, **sides, **head(rows)}


def dcgan_variant_discriminator(rows: list[Row], facts: Facts) -> Options:
    """Options of `dcgan_variant_discriminator` with a dense layer."""
    return {**dcgan_discriminator(rows, facts), "hidden": of_kind(rows, "Dense")[0].shapes[0][1]}


def dense_body(rows: list[Row], facts: Facts) -> Options:
    """Depth, image and head of a fully connected discriminator."""
    plain = head(rows)
    layers = of_kind(rows, "Dense")
    logits = 2 if "head_classify" in {row.name for row in rows} or plain["head"].target is Joint else 1
    units = first_dense(rows)
    channels = facts["image"][2] if "image" in facts else 1 if math.isqrt(units) ** 2 == units else 3
    joined = any(row.name == "join_embed" for row in rows)
    return {"depth": len(layers) - logits, **image(rows, facts, channels + joined, units // channels, 1), **plain}


def maxout_discriminator(rows: list[Row], facts: Facts) -> Options:
    """Options of `mlp_discriminator`."""
    layers = of_kind(rows, "Dense")
    pieces = first_option(rows, "MaxPooling1D", "pool_size", layers[0].shapes[0][1] // layers[1].shapes[0][0])
    dropout = facts.get("dropout") or [0.2, 0.5]
    options = {"width": layers[0].shapes[0][1] // pieces, "pieces": pieces, **dense_body(rows, facts)}
    return {**options, "input_dropout": dropout[0], "dropout": dropout[-1]}


def dense_discriminator(rows: list[Row], facts: Facts) -> Options:
    """Options of `mlp_leaky_discriminator`."""
    width = of_kind(rows, "Dense")[0].shapes[0][1]
    return {"width": width, "activation": activation(rows), **dense_body(rows, facts)}
