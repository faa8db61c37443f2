"""Parts of an image are the whole image's, whatever the network; and what is not exact is measured and said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.errors import UserError
from ganvas.inference import tiling
from ganvas.inference.receptive_field import PROBE, trace_receptive_field
from ganvas.inference.tiling import Source, Tiler, choose_grid, fade_weights, tile_edges
from ganvas.policy import Policy, free_memory, is_out_of_memory

CPU = Policy(torch.device("cpu"))
SMALL = {
    "srresnet x4": ("srresnet", {"width": 8, "blocks": 2}),
    "srresnet x3": ("srresnet", {"width": 8, "blocks": 1, "scale": 3}),
    "msrresnet x4": ("msrresnet", {"width": 8, "blocks": 2}),
    "msrresnet x3": ("msrresnet", {"width": 8, "blocks": 1, "scale": 3}),
    "rrdb x8": ("rrdb", {"width": 8, "growth": 4, "blocks": 1, "scale": 8}),
    "rrdb x4": ("rrdb", {"width": 8, "growth": 4, "blocks": 1}),
    "rrdb x2": ("rrdb", {"width": 8, "growth": 4, "blocks": 1, "scale": 2}),
    "rrdb x1": ("rrdb", {"width": 8, "growth": 4, "blocks": 1, "scale": 1}),
    "compact x4": ("compact", {"width": 8, "convolutions": 3}),
    "span x2": ("span", {"width": 8, "scale": 2}),
    "compact x3 relu": ("compact", {"width": 8, "convolutions": 3, "scale": 3, "activation": "relu"}),
    "compact x1 leakyrelu": ("compact", {"width": 8, "convolutions": 2, "scale": 1, "activation": "leakyrelu"}),
}


def loud(network, gain=1.0):
    """A network whose weights are large enough for far pixels to matter."""
    for p in network.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, 0, gain * (2 / p[0].numel()) ** 0.5)
    return network.eval().requires_grad_(False)


def made(name, **more):
    kind, options = SMALL[name]
    gain = 0.6 if kind == "span" else 1.0  # whose attention squares its maps, six times
    return loud(catalog.NETWORKS[kind](**{**options, **more}), gain)


def random_image(height, width, channels=3):
    return torch.rand(1, channels, height, width) * 2 - 1


# --- how far a network looks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "radius"),
    [
        ("compact", {}, 18),  # 16 + 2 convolutions of radius 1
        ("compact", {"convolutions": 32}, 34),
        ("rrdb", {}, 349),  # 1 + 23 * 15 + 1 of radius 1, then 1 / 2 and 3 / 4, and nearest neighbours
        ("rrdb", {"blocks": 6}, 94),
        ("msrresnet", {}, 35),
        ("span", {}, 21),  # 1 + 3 in each of six blocks + 1 + 1
    ],
)
def test_radii_by_hand(kind, options, radius):
    assert trace_receptive_field(catalog.NETWORKS[kind](**options).eval()).radius == radius


@pytest.mark.parametrize("name", SMALL)
def test_the_radius_is_where_gradients_end(name):
    """In float64, the gradient of single pixels with respect to the image is non-zero as far as was computed."""
    network = made(name).double()
    found = trace_receptive_field(network)
    side = 2 * found.radius + 8 * found.multiple
    x = random_image(side, side).double().requires_grad_()
    y = network.requires_grad_(True)(x)
    scale, reached = int(found.scale), 0
    start = side // 2 // found.multiple * found.multiple  # a part of one multiple
    for at in {start * scale, (start + found.multiple) * scale - 1}:
        (g,) = torch.autograd.grad(y[0, :, at, at].sum(), x, retain_graph=True)
        seen = g[0].abs().amax((0, 1)).nonzero()[:, 0]
        reached = max(reached, start - int(seen.min()), int(seen.max()) - (start + found.multiple - 1))
    assert reached <= found.radius, "the computed radius must never be too small"
    assert reached >= found.radius - found.multiple, "nor much too large"


@pytest.mark.parametrize(
    ("layers", "word"),
    [
        ([nn.InstanceNorm2d(3)], "batch_norm"),
        ([nn.GroupNorm(1, 3)], "group_norm"),
        ([nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(1)], "mean"),
        ([nn.Flatten(2), nn.Softmax(-1), nn.Unflatten(2, (PROBE, PROBE))], ""),
        ([nn.BatchNorm2d(3).train()], "batch_norm"),
        ([nn.LayerNorm(PROBE)], "layer_norm"),
    ],
)
def test_what_looks_everywhere_is_noticed(layers, word):
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), *layers)
    network.train(network[1].training and isinstance(network[1], nn.BatchNorm2d))
    found = trace_receptive_field(network)
    assert found.is_global
    assert word in found.global_operation


def test_a_batch_norm_that_has_learnt_looks_nowhere_else():
    assert not trace_receptive_field(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)).eval()).is_global


class Positions(nn.Module):
    def forward(self, x):
        return x + torch.linspace(0, 1, x.shape[-1], device=x.device).expand(x.shape[-2], -1)[None, None]


class Rolled(nn.Module):
    def forward(self, x):
        return torch.roll(x, 1, 2)


class Peeks(nn.Module):
    def forward(self, x):
        return x * (2.0 if x.mean() > 0 else 1.0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_enlarging_is_followed_to_the_pixel(mode, scale):
    """An image enlarged, then looked at from pixel to pixel: again the gradient is non-zero just as far."""
    network = loud(nn.Sequential(nn.Upsample(scale_factor=scale, mode=mode), nn.Conv2d(1, 1, 11, padding=5))).double()
    found = trace_receptive_field(network, 1)
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64, requires_grad=True)
    y, reached = network(x), 0
    for at in range(12 * scale, 13 * scale):
        (g,) = torch.autograd.grad(y[0, 0, at, at], x, retain_graph=True)
        seen = g[0, 0].abs().amax(0).nonzero()
        reached = max(reached, 12 - int(seen.min()), int(seen.max()) - 12)
    assert reached <= found.radius <= reached + 1


def test_a_network_that_takes_even_sizes_only():
    """The image is mirrored to a multiple, and what was made of that is cut off again."""
    network = loud(nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 3, 4, 2, 1)))
    x = random_image(51, 47)
    whole = network(nn.functional.pad(x, (0, 1, 0, 1), mode="reflect"))[:, :, :51, :47]
    for tile in (None, 0, 16):
        assert torch.allclose(Tiler(network, CPU, tile=tile)(x), whole, atol=1e-5)


class InPlace(nn.Module):
    """Writes what looks further through a view of what does not."""

    def forward(self, x):
        out = x * 1.0
        out[:, :2].add_(nn.functional.avg_pool2d(x, 5, 1, 2)[:, :2])
        return out


def test_what_is_written_through_a_view_is_seen():
    assert trace_receptive_field(InPlace()).radius == 2
    x = random_image(40, 40)
    assert torch.allclose(Tiler(InPlace(), CPU, tile=16)(x), InPlace()(x), atol=1e-6)


@pytest.mark.parametrize("network", [Positions(), Rolled(), Peeks()], ids=lambda n: type(n).__name__)
def test_what_is_not_known_is_never_cut(network):
    assert trace_receptive_field(network).is_global
    x = random_image(60, 70)
    assert torch.equal(Tiler(network, CPU, tile=16)(x), network(x))


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()),
        nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.ReLU(True), nn.Conv2d(4, 3, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 3, 5, 1, 2)),
        nn.Sequential(nn.Conv2d(3, 4, 3, 1, 2, 2), nn.AvgPool2d(2), nn.Upsample(scale_factor=4), nn.Conv2d(4, 1, 1)),
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.ConvTranspose2d(8, 3, 3, 2, 1, 1)),
        nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic"), nn.ZeroPad2d(1), nn.Conv2d(3, 3, 3), nn.PReLU()),
    ],
    ids=["encoder", "mirrored", "bilinear", "dilated", "pooled", "bicubic"],
)  # fmt: skip
def test_other_operations(network):
    """Networks of translation and restoration, too: parts are the whole image's."""
    network, x = loud(network), random_image(96, 132)
    whole, tiler = network(x), Tiler(network, CPU, tile=24)
    assert not tiler.field.is_global
    assert tiler.grid_for(Source.from_tensor(x)).tiles > 4
    assert (tiler(x) - whole).abs().max() <= 1e-5 * max(1.0, whole.abs().max().item())


# --- parts and the whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(61, 90), (120, 47)])
def test_parts_are_the_whole_images(name, size):
    """Pain 7: tile seams.  For every network without global statistics, to 1e-5 in float32."""
    network, x = made(name), random_image(*size)
    whole = network(x)
    tiler = Tiler(network, CPU, tile=22, overlap=None)
    assert tiler.grid_for(Source.from_tensor(x)).tiles > 2
    parts = tiler(x)
    assert parts.shape == whole.shape
    assert (parts - whole).abs().max() <= 1e-5 * whole.abs().max()
    assert not tiler.notes


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (17, 1)])
@pytest.mark.parametrize("name", ["compact x4", "rrdb x2", "rrdb x1"])
def test_tiny_images(name, size):
    network = made(name)
    scale = int(trace_receptive_field(network).scale)
    assert Tiler(network, CPU)(random_image(*size)).shape[2:] == (size[0] * scale, size[1] * scale)


def test_several_images_and_other_channels():
    network = made("compact x4", channels=1)
    x = torch.rand(2, 1, 40, 30)
    assert torch.allclose(Tiler(network, CPU, channels=1, tile=12)(x), network(x), atol=1e-5)


def test_a_network_that_looks_everywhere_gets_the_whole_image_and_says_so():
    """Never other colours in every part: instance norm sees all of the image."""
    network = loud(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 3, padding=1)))
    x = random_image(100, 80)
    tiler = Tiler(network, CPU, tile=16)
    assert torch.allclose(tiler(x), network(x), atol=1e-6)
    assert "looks at the whole image" in tiler.notes[0]


def test_a_dear_overlap_blends_and_the_error_is_measured():
    """Pain 7: what cannot be exact is blended, measured and said, and blending is better than cutting."""
    torch.manual_seed(1)
    network, x = made("rrdb x4", blocks=3), random_image(200, 160)
    whole, tiler = network(x), Tiler(network, CPU, tile=64, overlap=16)
    assert tiler.field.radius > 32
    off = (tiler(x) - whole).abs()
    assert "blend" in tiler.notes[0]
    said = float(tiler.notes[0].split("levels, ")[1].split()[0])
    assert off.max() * 127.5 <= 4 * said + 0.02
    assert off.max() > 0, "a blend is no exact result"
    assert off.max() < 0.05 * whole.abs().max()
    assert len(tiler.notes) == 1
    tiler(x)
    assert len(tiler.notes) == 1, "measured once, not for every image"


def test_blending_weights_add_up_to_one():
    """A network that copies shows nothing of how it was cut."""
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Upsample(scale_factor=2))
    nn.init.dirac_(network[0].weight)
    x = random_image(150, 131)
    tiler = Tiler(network.requires_grad_(False), CPU, tile=40, overlap=0)
    assert tiler.grid_for(Source.from_tensor(x)).fade == 32
    assert torch.allclose(tiler(x), network(x), atol=1e-5)


@pytest.mark.parametrize("tile", [None, 0, 20])
def test_a_texture_that_repeats_still_does(tile):
    """Pain 7: tileable textures lose their wrap.  With `wrap` the result is that of the middle of a 3 x 3 carpet."""
    network, x = made("compact x4"), random_image(30, 40)
    carpet = network(x.repeat(1, 1, 3, 3))[:, :, 120:240, 160:320]
    assert torch.allclose(Tiler(network, CPU, tile=tile)(x, wrap=True), carpet, atol=1e-5)


@pytest.mark.parametrize(("length", "parts", "multiple"), [(100, 3, 1), (101, 4, 2), (7, 7, 1), (9, 4, 4), (1, 1, 4)])
def test_cuts_are_even(length, parts, multiple):
    """Pain 7, the request for average sizes: no sliver at the end."""
    edges = tile_edges(length, parts, multiple)
    assert edges[0] == 0
    assert edges[-1] == length
    assert all(e % multiple == 0 for e in edges[:-1])
    sides = np.diff(edges)
    assert sides.max() - sides.min() <= 2 * multiple


@pytest.mark.parametrize("pixels", [5e3, 2e4, 1e6, 1e9])
def test_parts_fit_and_are_few(pixels):
    found = choose_grid((1000, 3000), 20, 0, 1, pixels)
    sides = [np.diff(e).max() for e in (found.rows, found.columns)]
    assert np.prod([min(s + 40, n) for s, n in zip(sides, (1000, 3000))]) <= 1.05 * pixels
    least = 3e6 / (pixels**0.5 - 40) ** 2  # squares, margin taken off
    assert found.tiles <= 1.3 * least + 3


def test_ramps_meet():
    _, _, left = fade_weights(0, 40, 100, 8, 2)
    first, _, right = fade_weights(40, 100, 100, 8, 2)
    assert first == 32
    assert torch.allclose(left[-32:] + right[:32], torch.ones(32))


# --- memory, precision -----------------------------------------------------------------------------------------------


class Small(nn.Module):
    """A device that runs out of memory over so many pixels."""

    def __init__(self, network, most):
        super().__init__()
        self.network, self.most, self.sizes = network, most, []

    def forward(self, x):
        if x.device.type != "meta":
            self.sizes.append(x.shape[2] * x.shape[3])
            if self.sizes[-1] > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(x)


@pytest.mark.parametrize(("name", "most"), [("compact x4", 9000), ("rrdb x2", 14000)])
def test_out_of_memory_halves_the_parts(name, most):
    """Pain 6: OOM, and --tile does not help.  Nothing is skipped, the result is the same, and later images know."""
    network, x = made(name), random_image(150, 121)
    tiny = Small(network, most)
    tiler = Tiler(tiny, CPU, overlap=None)
    assert torch.allclose(tiler(x), network(x), atol=1e-4)
    failed = [s for s in tiny.sizes if s > most]
    assert 1 <= len(failed) <= 3
    assert ["did not fit into memory and were halved" in n for n in tiler.notes] == [True]
    tiny.sizes.clear()
    tiler(x)
    assert max(tiny.sizes) <= most


@pytest.mark.parametrize(("tile", "word"), [(None, "scale the image down"), (0, "let --tile be auto")])
def test_no_memory_at_all_is_a_sentence(tile, word):
    """Pain 6: never an undefined name, never a silent skip."""
    tiler = Tiler(Small(made("compact x4"), 10), CPU, tile=tile)
    with pytest.raises(UserError, match=word):
        tiler(random_image(64, 64))


def test_a_whole_image_network_without_memory_says_why():
    network = Small(nn.Sequential(nn.InstanceNorm2d(3)), 10)
    with pytest.raises(UserError, match="needs to see at once"):
        Tiler(network, CPU)(random_image(64, 64))


def test_other_errors_are_not_swallowed():
    class Broken(nn.Module):
        def forward(self, x):
            if x.device.type != "meta":
                raise RuntimeError("broken")
            return x

    with pytest.raises(RuntimeError, match="broken"):
        Tiler(Broken(), CPU)(random_image(8, 8))


def test_memory_errors_are_recognised():
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as problem:
        torch.empty(1 << 60)
    assert is_out_of_memory(problem.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_the_estimate_of_memory_counts_what_lives_at_once():
    """Compact x4 by hand: three colours in [0, 1], 64 maps and the 64 that come of them; 4 bytes each."""
    assert trace_receptive_field(catalog.NETWORKS["compact"](convolutions=4).eval()).bytes_per_pixel == 4 * (
        3 + 64 + 64
    )


def test_parts_fit_into_the_memory_that_is_free(monkeypatch):
    network = catalog.NETWORKS["rrdb"](blocks=1).eval()
    tiler, source = Tiler(network, CPU), Source((4000, 4000), lambda r, c: None)
    monkeypatch.setattr(tiling, "free_memory", lambda device: 64 << 30)
    few = tiler.grid_for(source).tiles
    monkeypatch.setattr(tiling, "free_memory", lambda device: 1 << 30)
    many = tiler.grid_for(source).tiles
    assert many > 2 * few
    assert free_memory(CPU.device) > 0


def spikes(network):
    """A network that overflows in bf16's autocast only."""

    class Spiking(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.calls = network, []

        def forward(self, x):
            wide = not torch.is_autocast_enabled("cpu")
            if x.device.type != "meta":
                self.calls.append(wide)
            return self.network(x) if wide else self.network(x) * float("nan")

    return Spiking()


def test_not_finite_in_bf16_is_done_in_float32():
    """Pain 4: black or NaN output in half precision.  The part is done again, and the rest in float32 at once."""
    network, x = spikes(made("compact x4")), random_image(60, 60)
    tiler = Tiler(network, Policy(torch.device("cpu"), bf16=True), tile=20)
    y = tiler(x)
    assert torch.isfinite(y).all()
    assert torch.allclose(y, network.network(x), atol=1e-5)
    assert network.calls[:2] == [False, True]
    assert all(network.calls[1:])
    assert tiler.notes == ["bf16 was not finite, so float32 is used"]


def test_never_finite_is_a_sentence():
    network = made("compact x4")
    network.body[0].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite, even in float32"):
        Tiler(network, CPU)(random_image(20, 20))


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_works_on_the_processor(name):
    """Pain 5: no 'not implemented for Half' on a CPU: the format follows the device, and bf16 runs here."""
    network, x = made(name), random_image(40, 40)
    exact = network(x)
    y = Tiler(network, Policy(torch.device("cpu"), bf16=True), tile=20, overlap=None)(x)
    assert y.dtype == torch.float32
    assert (y - exact).abs().max() <= 0.05 * exact.abs().max()


def test_bands_come_as_they_are_made():
    """The result of a large image is never in memory at once."""
    x, asked = random_image(300, 200), []

    def part(rows, columns):
        asked.append(len(rows))
        return Source.from_tensor(x).crop(rows, columns)

    shares = []
    bands = Tiler(made("compact x4"), CPU, tile=50).bands(
        Source((300, 200), part), lambda t: t.permute(1, 2, 0).numpy(), shares.append
    )
    first = next(bands)
    assert first.shape[0] < 300
    assert first.shape[1:] == (800, 3)
    assert sum(asked) <= 300, "only the first band was read"
    rest = list(bands)
    assert first.shape[0] + sum(b.shape[0] for b in rest) == 1200
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
