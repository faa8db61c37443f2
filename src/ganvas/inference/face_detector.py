"""Face detector YuNet (Wu et al. 2023) through onnxruntime: boxes, scores and five landmarks."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

from ..checkpoints import download as weights
from ..errors import UsageError, UserError

SIDE = 640  # pixels a side of the detector's input
STRIDES = (8, 16, 32)  # pixels between the places of its maps
SCORE = 0.7  # of a face, at least
OVERLAP = 0.3  # intersection over union above which two boxes are one face


@dataclass(frozen=True)
class Face:
    """A face in an image, in its pixels."""

    box: tuple[float, float, float, float]  # left, top, width, height
    landmarks: np.ndarray  # (5, 2) x, y: the eyes, the nose, the corners of the mouth, each from left to right
    score: float = 1.0  # 0 to 1


class Detector(Protocol):
    """A detector of faces in (H, W, 3) uint8."""

    def __call__(self, image: np.ndarray) -> list[Face]: ...


class YuNet:
    """YuNet with its published weights, `ganvas weights fetch yunet`.

    Raises `UsageError` without the file, or without onnxruntime.
    """

    def __init__(self) -> None:
        file = weights.path("yunet")
        weights.verify("yunet", file)
        try:
            import onnxruntime
        except ImportError as problem:
            raise UsageError(
                f'Faces are detected through onnxruntime: pip install "ganvas[onnx]" ({problem}).'
            ) from None
        try:
            self.session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as problem:  # of onnxruntime's own kinds
            raise UserError(f"{file} cannot be used: {str(problem).splitlines()[0]}") from None

    def __call__(self, image: np.ndarray) -> list[Face]:
        small, factor = shrink(image)
        outputs = [one.name for one in self.session.get_outputs()]
        maps = dict(zip(outputs, self.session.run(outputs, {self.session.get_inputs()[0].name: as_input(small)})))
        return suppress(decode(maps, factor))


@cache
def yunet() -> YuNet:
    """The detector, loaded once."""
    return YuNet()


def shrink(image: np.ndarray) -> tuple[np.ndarray, float]:
    """An image with at most 640 pixels a side, and the factor from its pixels to those of the given one."""
    from PIL import Image

    height, width = image.shape[:2]
    factor = max(height, width) / SIDE
    if factor <= 1:
        return image, 1.0
    size = max(round(width / factor), 1), max(round(height / factor), 1)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)), factor


def as_input(image: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) as (1, 3, 640, 640) float32: blue, green, red in levels of 255, black below and beside it."""
    padded = np.zeros((SIDE, SIDE, 3), np.float32)
    padded[: image.shape[0], : image.shape[1]] = image[..., ::-1]
    return padded.transpose(2, 0, 1)[None]


def decode(maps: dict[str, np.ndarray], factor: float) -> list[Face]:
    """The faces in the maps `cls_8`, `obj_8`, `bbox_8`, `kps_8`, ... of YuNet, in pixels of the image.

    As OpenCV's `FaceDetectorYN`: the score is sqrt(cls obj), places count in strides from their cell, and sizes are
    exponents.
    """
    faces = []
    for stride in STRIDES:
        cells = SIDE // stride
        score, box, points = (maps[f"{name}_{stride}"].reshape(cells**2, -1) for name in ("cls", "bbox", "kps"))
        score = np.sqrt(score.clip(0, 1) * maps[f"obj_{stride}"].reshape(cells**2, -1).clip(0, 1))[:, 0]
        for k in np.flatnonzero(score >= SCORE):
            cell = np.array([k % cells, k // cells], np.float64)
            centre, size = (cell + box[k, :2]) * stride, np.exp(box[k, 2:4].astype(np.float64)) * stride
            landmarks = (points[k].reshape(5, 2) + cell) * stride * factor
            left, top = (centre - size / 2) * factor
            faces.append(Face((left, top, *(size * factor)), landmarks, float(score[k])))
    return faces


def suppress(faces: list[Face]) -> list[Face]:
    """The faces without those whose box overlaps the box of a likelier one."""
    chosen: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) <= OVERLAP for other in chosen):
            chosen.append(face)
    return chosen


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    wide, high = (min(a[k] + a[k + 2], b[k] + b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    common = max(wide, 0) * max(high, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)
