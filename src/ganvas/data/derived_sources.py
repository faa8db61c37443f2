"""Sources computed from the target images: edges, grey, blur, masks and flat regions."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..imaging.channels import luma, on_white

LINE = 0.15  # change of brightness, in [-1, 1], from pixel to pixel that makes an edge
LEVELS = 4  # of each channel in `regions`
HOLE = (0.25, 0.5)  # smallest and largest side of a masked box, as shares of the image's


def grey(images: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of images laid on white."""
    return luma(on_white(images))


def edges(images: Tensor) -> Tensor:
    """Edges (N, 1, H, W), black on white, where brightness or transparency changes (Sobel's operator)."""
    planes = torch.cat([grey(images), images[:, 3:]], 1)
    rise = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device, dtype=images.dtype) / 8
    padded = F.pad(planes.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    slopes = F.conv2d(padded, torch.stack([rise, rise.t()])[:, None])
    steepest = slopes.norm(dim=1).view(planes.shape).amax(1, keepdim=True)
    return torch.where(steepest > LINE, -1.0, 1.0).to(images.dtype)


def blur(images: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of a 32nd of the shorter side, at least one pixel; channels are kept."""
    from kornia.filters import gaussian_blur2d

    shorter = min(images.shape[2:])
    sigma = max(1.0, shorter / 32)
    reach = min(int(3 * sigma), shorter - 1)
    return gaussian_blur2d(images, (2 * reach + 1, 2 * reach + 1), (sigma, sigma))


def mask(images: Tensor) -> Tensor:
    """Images with a box of random position and size set to mid-grey."""
    n, _, height, width = images.shape
    size = HOLE[0] + (HOLE[1] - HOLE[0]) * torch.rand(n, 2, 1, device=images.device)
    begin = torch.rand(n, 2, 1, device=images.device) * (1 - size)
    down = (torch.arange(height, device=images.device) + 0.5) / height
    across = (torch.arange(width, device=images.device) + 0.5) / width
    rows = (down >= begin[:, 0]) & (down < begin[:, 0] + size[:, 0])  # (N, H)
    columns = (across >= begin[:, 1]) & (across < begin[:, 1] + size[:, 1])  # (N, W)
    return torch.where((rows[:, :, None] & columns[:, None])[:, None], torch.zeros_like(images), images)


def regions(images: Tensor) -> Tensor:
    """Flat colours as in a segmentation map: blurred, with each channel rounded to four levels."""
    return ((blur(images) + 1) / 2 * (LEVELS - 1)).round() / (LEVELS - 1) * 2 - 1


DERIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "edges": edges,
    "grey": grey,
    "blur": blur,
    "mask": mask,
    "regions": regions,
}
