"""HSLuv colour: hue and saturation relative to the most that a screen shows, and lightness of CIELUV."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixel import ImageTerm

XYZ = (  # of linear sRGB (IEC 61966-2-1), as HSLuv's reference has it
    (0.41239079926595, 0.35758433938387, 0.18048078840183),
    (0.21263900587151, 0.71516867876775, 0.072192315360733),
    (0.019330818715591, 0.11919477979462, 0.95053215224966),
)
RGB = (  # its inverse
    (3.240969941904521, -1.537383177570093, -0.498610760293),
    (-0.96924363628087, 1.87596750150772, 0.041555057407175),
    (0.055630079696993, -0.20397695888897, 1.056971514242878),
)
WHITE_U, WHITE_V = 0.19783000664283, 0.46831999493879  # u' and v' of D65
KAPPA, EPSILON = 903.2962962, 0.0088564516  # of CIE lightness
TINY = 1e-8


class HSLuv(ImageTerm):
    """HSLuv loss: L1 of lightness, and of hue and saturation as a point of the colour disc (hsluv.org, revision 4).

    Both are of RGB in [0, 1] and lie in [0, 1] themselves: lightness / 100, and saturation / 100 times cosine and sine
    of the hue, so that hues of 0 and 360 degrees are one and grey has none.  Alpha is ignored; grey images have
    lightness alone.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        lightness: float = 1.0,  # share of the lightness
        colour: float = 1.0,  # share of hue and saturation
    ):
        super().__init__(weight=weight)
        self.shares = lightness, colour

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        ours, theirs = (
            hsluv_disc(x[:, :3] if x.shape[1] > 2 else x[:, :1].expand(-1, 3, -1, -1)) for x in (image, target)
        )
        lightness, colour = F.l1_loss(ours[:, 2], theirs[:, 2]), F.l1_loss(ours[:, :2], theirs[:, :2])
        return self.shares[0] * lightness + self.shares[1] * colour


def hsluv_disc(rgb: Tensor) -> Tensor:
    """RGB in [0, 1] as saturation x cos hue, saturation x sin hue, and lightness, each up to 1: (N, 3, H, W)."""
    rgb = rgb.clamp(0, 1)
    low = rgb <= 0.04045
    linear = torch.where(low, rgb / 12.92, ((torch.where(low, 1.0, rgb) + 0.055) / 1.055) ** 2.4)
    x, y, z = torch.einsum("kc,nchw->knhw", rgb.new_tensor(XYZ), linear)
    dark = y <= EPSILON
    light = torch.where(dark, KAPPA * y, 116 * torch.where(dark, 1.0, y) ** (1 / 3) - 16)
    total = (x + 15 * y + 3 * z).clamp_min(TINY)
    u, v = 13 * light * (4 * x / total - WHITE_U), 13 * light * (9 * y / total - WHITE_V)
    share = 1 / max_chroma(light, u, v).clamp_min(TINY)
    inside = (light > 0.01) & (light < 99.99)  # black and white have no colour
    share = torch.where(inside, share, 0.0)
    return torch.stack([u * share, v * share, light / 100], 1)


def max_chroma(light: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The largest chroma of that lightness in the direction of (u, v): to the nearest of the screen's six bounds."""
    length = (u.square() + v.square()).clamp_min(TINY**2).sqrt()
    cosine, sine = u / length, v / length
    cube = (light + 16) ** 3 / 1560896
    scale = torch.where(cube > EPSILON, cube, light / KAPPA)
    nearest = torch.full_like(light, torch.inf)
    for m1, m2, m3 in RGB:
        for bound in (0.0, 1.0):
            top1 = (284517 * m1 - 94839 * m3) * scale
            top2 = (838422 * m3 + 769860 * m2 + 731718 * m1) * light * scale - 769860 * bound * light
            bottom = (632260 * m3 - 126452 * m2) * scale + 126452 * bound
            across = sine * bottom - top1 * cosine
            distance = top2 / torch.where(across.abs() < TINY, TINY, across)  # to the line v = (top1 u + top2) / bottom
            nearest = torch.where((distance >= 0) & (distance < nearest), distance, nearest)
    return nearest
