"""Image terms on the spectrum: FFT loss and focal frequency loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from .pixel import ImageTerm


class FFT(ImageTerm):
    """FFT loss: mean absolute difference of real and imaginary parts of the spectra (Cho et al. 2021, eq. 5).

    Of images in [0, 1]; spectra are divided by the square root of the number of pixels, so that their scale is that of
    the pixels.
    """

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        ours, theirs = (torch.view_as_real(torch.fft.fft2(x, norm="ortho")) for x in (image, target))
        return F.l1_loss(ours, theirs)


class FocalFrequency(ImageTerm):
    """Focal frequency loss: squared difference of spectra, weighted by itself (Jiang et al. 2021, eq. 7-9).

    The weight |F - F'|^alpha of each frequency is divided by its largest over the image and has no gradient.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        alpha: float = 1.0,  # exponent of the weights; 0: all frequencies alike
    ):
        super().__init__(weight=weight)
        if not alpha >= 0:
            raise UsageError(f"alpha of the focal frequency loss must be at least 0, got {alpha:g}.")
        self.alpha = alpha

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        difference = torch.view_as_real(torch.fft.fft2(image, norm="ortho") - torch.fft.fft2(target, norm="ortho"))
        square = difference.square().sum(-1)
        where = square.detach() ** (self.alpha / 2)
        largest = where.amax((2, 3), keepdim=True)
        return (where / largest.clamp_min(torch.finfo(where.dtype).tiny) * square).mean()
