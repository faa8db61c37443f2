"""One frame of the playground as bytes: a header of numbers and sections of 8 or 16 bits.

Little-endian.  uint32 step, uint16 number of figures F, uint16 number of sections, F x float32 figures; then for each
section uint8 kind, uint8 bytes per value, uint16 unused, uint32 number of values, and the values, padded to a multiple
of four bytes.  Positions are uint16 of [-1.25, 1.25], arrows int16 of 1/8192, the heat map uint8 of [0, 1].
"""

import struct
from dataclasses import dataclass

import numpy as np

FIGURES = (
    "d_loss", "g_loss", "modes", "total_modes", "high_quality", "wasserstein", "kl", "js", "score_low", "score_high",
)  # fmt: skip
REACH = 1.25  # of positions from the centre
ARROW = 8192  # steps of an arrow's unit
LARGEST = 1e9  # of anything before it is squared
FAKES, ARROWS, HEAT, GRID, REALS, LATENTS = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Frame:
    """A frame: figures by name, fakes (N, 2), and, where they are shown, arrows, heat and grid."""

    step: int
    figures: dict[str, float]
    fakes: np.ndarray
    arrows: np.ndarray | None = None
    heat: np.ndarray | None = None
    grid: np.ndarray | None = None

    def encode(self) -> bytes:
        """The bytes that are sent."""
        figures, sections = dict(self.figures), [(FAKES, positions(self.fakes))]
        if self.arrows is not None:
            sections.append((ARROWS, arrows(self.arrows)))
        if self.heat is not None:
            figures["score_low"], figures["score_high"] = float(self.heat.min()), float(self.heat.max())
            sections.append((HEAT, contrast(self.heat)))
        if self.grid is not None:
            sections.append((GRID, positions(self.grid)))
        head = struct.pack("<IHH", self.step, len(FIGURES), len(sections))
        head += struct.pack(f"<{len(FIGURES)}f", *(figures.get(name, float("nan")) for name in FIGURES))
        return head + b"".join(section(kind, values) for kind, values in sections)


def scene(reals: np.ndarray, latents: np.ndarray) -> bytes:
    """The parts of a whole film that stay the same: real points (N, 2) and latents (N, 1 or 2), in the form of a frame.

    Latents are a quarter of their size, so that normal ones fit.
    """
    head = struct.pack("<IHH", 0, 0, 2)
    return head + section(REALS, positions(reals)) + section(LATENTS, positions(latents / 4))


def section(kind: int, values: np.ndarray) -> bytes:
    """One section with its header."""
    body = values.tobytes()
    return struct.pack("<BBHI", kind, values.itemsize, 0, values.size) + body + bytes(-len(body) % 4)


def positions(points: np.ndarray) -> np.ndarray:
    """Points as uint16 over [-1.25, 1.25]."""
    share = (points.clip(-REACH, REACH) + REACH) / (2 * REACH)
    return np.rint(share * 65535).astype("<u2")


def arrows(vectors: np.ndarray) -> np.ndarray:
    """Arrows as int16 in 1/8192, none longer than 1; what is not finite is no arrow."""
    finite = np.nan_to_num(vectors.astype(np.float64), posinf=0, neginf=0).clip(-LARGEST, LARGEST)
    length = np.linalg.norm(finite, axis=1, keepdims=True)
    return np.rint(ARROW * finite / np.maximum(length, 1)).astype("<i2")


def contrast(scores: np.ndarray) -> np.ndarray:
    """Scores as uint8 around their middle, 128: one standard deviation is a third of the way to an end.

    Scores have a unit of their own in each loss, so only their order and spread are shown; a flat map stays flat.
    """
    finite = np.nan_to_num(scores.astype(np.float64))
    spread = max(float(finite.std()), 0.05)
    share = 1 / (1 + np.exp(-((finite - finite.mean()) / spread).clip(-30, 30)))
    return np.rint(255 * share).astype(np.uint8)
