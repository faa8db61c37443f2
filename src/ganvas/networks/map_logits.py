"""Logits of the windows of a map, alone or by label, as small convolutional discriminators end."""

from torch import Tensor, nn

from .label_inputs import embedding
from .norms import spectral

WINDOW = 4  # pixels a side


class MapLogits(nn.Module):
    """Logits of all 4x4 windows of a map, perhaps of a label: (N, C, h, w) to (N, 1, windows).

    With labels the convolution gives `size` maps m, and a logit is <m, y> / sqrt(size) with y a linear map and leaky
    rectifier of the label's embedding (Sauer et al. 2021, by their code; Miyato and Koyama 2018).
    """

    def __init__(self, channels: int, *, classes: int = 0, attributes: int = 0, size: int = 64, embed: int = 128):
        super().__init__()
        labelled = bool(classes or attributes)
        self.conv = spectral(nn.Conv2d(channels, size if labelled else 1, WINDOW, bias=False))
        self.embed = embedding(classes, attributes, embed) if labelled else None
        self.mix = nn.Sequential(nn.Linear(embed, size), nn.LeakyReLU(0.2)) if labelled else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        h = self.conv(x).flatten(2)  # (N, 1 or size, windows)
        if self.embed is None or self.mix is None:
            return h
        condition = self.mix(self.embed(label)).to(h.dtype)  # (N, size)
        return (h * condition[:, :, None]).sum(1, keepdim=True) * condition.shape[1] ** -0.5
