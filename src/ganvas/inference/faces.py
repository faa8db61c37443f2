"""Restoration of the faces in a photograph: detected, aligned, restored by a face model, and blended back."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError, UserError
from ..imaging.photo import Photo, Planes
from ..models.resolve import ImageModel
from ..policy import Policy, is_out_of_memory
from .batch import Share
from .face_detector import Detector, Face, yunet

# Eyes, nose and corners of the mouth in an aligned crop of 512 pixels, x, y: the alignment of FFHQ that GFPGAN's and
# CodeFormer's models were trained on.
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
CROP = 512  # pixels a side of the template
FEATHER = 0.15  # of the side of a crop, over which it is blended
LOOK = 1280  # pixels a side, about, that the detector is shown of a larger image


@dataclass(frozen=True)
class Similarity:
    """Rotation, scaling and shift of the plane: (x, y) to (a x - b y + c, b x + a y + d)."""

    a: float
    b: float
    c: float
    d: float

    @property
    def scale(self) -> float:
        """Length of a vector of length 1 afterwards."""
        return float(np.hypot(self.a, self.b))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) moved."""
        x, y = points[..., 0], points[..., 1]
        return np.stack([self.a * x - self.b * y + self.c, self.b * x + self.a * y + self.d], -1)

    def inverse(self) -> "Similarity":
        """The way back."""
        square = self.a**2 + self.b**2
        a, b = self.a / square, -self.b / square
        return Similarity(a, b, -(a * self.c - b * self.d), -(b * self.c + a * self.d))


def align(points: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that brings points (N, 2) nearest to others in the sense of least squares (Umeyama 1991).

    Raises `UserError` for points that are all one.
    """
    middle, goal = points.mean(0), target.mean(0)
    p, q = points - middle, target - goal
    square = float((p**2).sum())
    if not np.isfinite(square) or square < 1e-6:
        raise UserError("The landmarks of a face lie on one another.")
    a = float((p * q).sum()) / square
    b = float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()) / square
    return Similarity(a, b, goal[0] - a * middle[0] + b * middle[1], goal[1] - b * middle[0] - a * middle[1])


class FaceRestorer:
    """A model of aligned faces for the faces in an image; pixels apart from them stay as they are, bit for bit.

    `size` is the side of the crops that the model takes, `strength` the share of the model in the result, `detect`
    finds the faces (YuNet by default).  Raises `UsageError` for a model that changes the size, or has masks.
    """

    scale = 1  # side of the result as a multiple of the image's

    def __init__(
        self,
        model: ImageModel,
        policy: Policy,
        *,
        size: int = CROP,
        strength: float = 1.0,
        detect: Detector | None = None,
    ):
        if model.network.masked or model.network.scale != 1:
            kind = "fills holes" if model.network.masked else f"enlarges {model.network.scale} times"
            raise UsageError(f"{model.name} {kind}; --faces takes a model that restores aligned faces in their size.")
        if not 0 <= strength <= 1:
            raise UsageError(f"--strength must be from 0 to 1, got {strength}.")
        if not 16 <= size <= 4096:
            raise UsageError(f"--face-size must be from 16 to 4096 pixels, got {size}.")
        self.model, self.policy, self.side, self.strength = model, policy, size, strength
        self.detect, self.network = detect or yunet(), policy.place(model.network)

    def change(self, photo: Photo, output: Path, progress: Share) -> Photo:
        """Restore the faces of an image that will be written to `output`: `inference.batch.Change`."""
        return self.photo(photo)

    def photo(self, photo: Photo) -> Photo:
        """Restore the faces of an image; its notes say how many there are."""
        if self.model.channels == 1 and not photo.neutral:
            raise UserError(f"{self.model.name} is for grey images, and this one has colours; take another model.")
        faces = [face for face in find(photo, self.detect) if np.isfinite(face.landmarks).all()]
        result = replace(photo, array=photo.array.copy())
        for face in faces:
            self.restore(result, face)
        count = len(faces)
        note = "no face was found, so nothing changes" if not count else f"{count} face{'s'[: count != 1]} restored"
        return replace(result, notes=[*photo.notes, note])

    def restore(self, photo: Photo, face: Face) -> None:
        """Restore one face in the array of an image."""
        to_crop = align(face.landmarks, TEMPLATE * (self.side / CROP))
        corners = to_crop.inverse()(np.array([[0, 0], [self.side, 0], [0, self.side], [self.side, self.side]]))
        height, width = photo.array.shape[:2]
        left, top = np.floor(corners.min(0)).astype(int)
        right, bottom = np.ceil(corners.max(0)).astype(int) + 1
        rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        planes = photo.planes(rows, columns, self.model.channels)
        here = shift(to_crop, columns.start, rows.start)
        restored = self.run(crop(planes.colour, here, self.side))
        y, share = paste(restored, here, planes.colour.shape[2:])
        share = share * self.strength
        mixed = Planes(torch.lerp(planes.colour, y, share), planes.alpha, planes.plane)
        changed = (share[0, 0] > 0).numpy()[..., None]
        photo.array[rows, columns] = np.where(changed, photo.pixels(mixed), photo.array[rows, columns])

    @torch.inference_mode()
    def run(self, x: Tensor) -> Tensor:
        """The network on a crop (1, C, S, S); raises `UserError` for a network that takes crops of another size."""
        try:
            with self.policy.autocast():
                y = self.network(x.to(self.policy.device)).float().cpu()
        except RuntimeError as problem:
            if is_out_of_memory(problem):
                raise
            reason = str(problem).strip().partition("\n")[0]
            raise UserError(
                f"{self.model.name} takes no crops of {self.side} pixels ({reason}); --face-size N."
            ) from None
        if y.shape != x.shape:
            raise UserError(f"{self.model.name} makes {tuple(y.shape)} of a crop {tuple(x.shape)}; give another model.")
        return y.clamp(-1, 1)


def find(photo: Photo, detect: Detector) -> list[Face]:
    """The faces of an image in its pixels; of a large image the detector sees the means of blocks of pixels."""
    planes = photo.planes(channels=3).colour
    factor = max(1, round(max(planes.shape[2:]) / LOOK))
    small = F.avg_pool2d(planes, factor, ceil_mode=True) if factor > 1 else planes
    levels = (small * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).contiguous().numpy()
    faces = detect(levels)
    left, top, width, height = np.array([face.box for face in faces]).reshape(-1, 4).T * factor
    boxes = zip(left.tolist(), top.tolist(), width.tolist(), height.tolist())
    return [Face(box, face.landmarks * factor, face.score) for box, face in zip(boxes, faces)]


def shift(transform: Similarity, x: float, y: float) -> Similarity:
    """The transform of points that are counted from (x, y)."""
    c, d = transform(np.array([x, y], np.float64))
    return replace(transform, c=float(c), d=float(d))


def sample(image: Tensor, points: np.ndarray) -> Tensor:
    """An image (1, C, h, w) at points (H, W, 2) of x, y in pixels, whose centres are at halves: (1, C, H, W)."""
    size = np.array([image.shape[3], image.shape[2]], np.float64)
    grid = torch.from_numpy((points / size * 2 - 1).astype(np.float32))[None]
    return F.grid_sample(image, grid, "bicubic", "border", align_corners=False).clamp(-1, 1)


def centres(height: int, width: int) -> np.ndarray:
    """The centres of pixels, (height, width, 2) x, y."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y], -1)


def crop(image: Tensor, to_crop: Similarity, side: int) -> Tensor:
    """The aligned crop (1, C, side, side) of an image (1, C, h, w), which is first reduced where it is larger."""
    points, scale = to_crop.inverse()(centres(side, side)), to_crop.scale
    if scale < 1:
        size = [max(round(n * scale), 1) for n in image.shape[2:]]
        factors = np.array([size[1] / image.shape[3], size[0] / image.shape[2]])
        return sample(F.interpolate(image, size, mode="bicubic", antialias=True), points * factors)
    return sample(image, points)


def paste(restored: Tensor, to_crop: Similarity, size: torch.Size | tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A crop back in its image: (1, C, h, w), and its share in the result, (1, 1, h, w), which falls to its edges."""
    side, scale = restored.shape[2], to_crop.scale
    points = to_crop(centres(size[0], size[1]))
    inside = np.minimum(points, side - points).min(-1) / (FEATHER * side)
    share = torch.from_numpy(np.clip(inside, 0, 1).astype(np.float32))[None, None]
    share = share * share * (3 - 2 * share)
    if scale > 1:
        small = max(round(side / scale), 1)
        restored = F.interpolate(restored, (small, small), mode="bicubic", antialias=True)
        points = points * (small / side)
    return sample(restored, points), share
