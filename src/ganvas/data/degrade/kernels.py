"""Blur kernels by their equations, (K, K) float64 with K odd and sum 1, and filtering of images."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

LARGE = 13  # taps a side from which on Fourier transforms are faster; at 21 taps by a factor of four


def _tap_grid(size: int) -> tuple[Tensor, Tensor]:
    """Coordinates x and y of each tap from the centre, (K, K) each."""
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return axis.expand(size, size), axis[:, None].expand(size, size)


def _normalize(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum()


def mahalanobis(size: int, sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    """c^T S^-1 c at each tap c, where S has the standard deviations along axes rotated by `angle` radians."""
    x, y = _tap_grid(size)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return (along / sigma_x) ** 2 + (across / sigma_y) ** 2


def gaussian(size: int, sigma_x: float, sigma_y: float, angle: float = 0.0) -> Tensor:
    """Gaussian kernel exp(-c^T S^-1 c / 2) (Wang et al. 2021, equation 2)."""
    return _normalize(torch.exp(-0.5 * mahalanobis(size, sigma_x, sigma_y, angle)))


def generalised(size: int, sigma_x: float, sigma_y: float, angle: float, beta: float) -> Tensor:
    """Generalised Gaussian kernel exp(-(c^T S^-1 c)^beta / 2): peaked below beta = 1, flat above (Wang et al. 2021)."""
    return _normalize(torch.exp(-0.5 * mahalanobis(size, sigma_x, sigma_y, angle) ** beta))


def plateau(size: int, sigma_x: float, sigma_y: float, angle: float, beta: float) -> Tensor:
    """Plateau kernel 1 / (1 + (c^T S^-1 c)^beta) (Wang et al. 2021, section 3.1)."""
    return _normalize(1 / (1 + mahalanobis(size, sigma_x, sigma_y, angle) ** beta))


def sinc(size: int, cutoff: float) -> Tensor:
    """Ideal low-pass filter of a disc of frequencies: w J1(w r) / (2 pi r) (Wang et al. 2021, equation 6).

    `cutoff` is w in radians a pixel, up to pi.  It rings around edges, as in sharpened images.
    """
    x, y = _tap_grid(size)
    r = torch.hypot(x, y)
    beside = cutoff * torch.special.bessel_j1(cutoff * r) / (2 * math.pi * r.clamp_min(1e-9))
    return _normalize(torch.where(r == 0, cutoff**2 / (4 * math.pi), beside))


def motion_path(size: int, points: list[tuple[float, float]]) -> Tensor:
    """Motion blur kernel: straight pieces between points (x, y) from the centre, in pixels."""
    kernel = torch.zeros(size, size, dtype=torch.float64)
    middle = (size - 1) / 2
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        steps = max(2, math.ceil(4 * math.hypot(x1 - x0, y1 - y0)))
        for k in range(steps):  # each moment is spread over the four taps around it
            t = (k + 0.5) / steps
            x, y = middle + x0 + t * (x1 - x0), middle + y0 + t * (y1 - y0)
            left, above = math.floor(x), math.floor(y)
            for row, down in ((above, 1 - (y - above)), (above + 1, y - above)):
                for column, right in ((left, 1 - (x - left)), (left + 1, x - left)):
                    if 0 <= row < size and 0 <= column < size:
                        kernel[row, column] += down * right / steps
    return _normalize(kernel)


def pad_reflect(image: Tensor, by: int) -> Tensor:
    """Pad (..., H, W) by `by` pixels on each side, mirrored about the edge pixels; images may be smaller than `by`."""
    for dim in (-2, -1):
        length = image.shape[dim]
        turn = max(2 * (length - 1), 1)
        place = torch.arange(-by, length + by, device=image.device) % turn
        image = image.index_select(dim, torch.minimum(place, turn - place).clamp_max(length - 1))
    return image


def filter_image(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each channel of (1, C, H, W) with one kernel (K, K); edges are mirrored."""
    taps, channels, kernel = len(kernel), image.shape[1], kernel.to(image)
    wide = pad_reflect(image, taps // 2)
    if taps < LARGE:
        return F.conv2d(wide, kernel.flip(0, 1).expand(channels, 1, -1, -1), groups=channels)
    size = [fast_length(side) for side in wide.shape[2:]]
    product = torch.fft.rfft2(wide, s=size) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(product, s=size)[..., taps - 1 : wide.shape[2], taps - 1 : wide.shape[3]]


@lru_cache(256)
def fast_length(length: int) -> int:
    """Smallest length from `length` up without a prime factor above 5: real Fourier transforms are fast there."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def blur_gaussian(image: Tensor, size: int, sigma: float) -> Tensor:
    """Blur (1, C, H, W) with an isotropic Gaussian, one axis after the other."""
    row = gaussian(size, sigma, sigma)[size // 2]
    row = (row / row.sum()).to(image)
    channels = pad_reflect(image.transpose(0, 1), size // 2)
    return F.conv2d(F.conv2d(channels, row.view(1, 1, 1, -1)), row.view(1, 1, -1, 1)).transpose(0, 1)


def sharpen(image: Tensor, *, weight: float = 0.5, radius: int = 50, threshold: float = 10.0) -> Tensor:
    """Sharpen (1, C, H, W) in [0, 1] by unsharp masking, as Real-ESRGAN's targets (Wang et al. 2021, section 3.4).

    Detail is added where it exceeds `threshold` levels of 255; the border of that region is soft.  The Gaussian's
    width follows from its size (radius + 1) by OpenCV's rule.
    """
    size = radius + 1 - radius % 2
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    detail = image - blur_gaussian(image, size, sigma)
    mask = blur_gaussian((detail.abs() * 255 > threshold).to(image), size, sigma)
    return mask * (image + weight * detail).clamp(0, 1) + (1 - mask) * image
