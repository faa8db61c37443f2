"""A person's image through a network: depth, grey, transparency, size and strength as they should be."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganvas.errors import UsageError, UserError
from ganvas.game import ImageToImage
from ganvas.imaging.encode import save
from ganvas.imaging.photo import open_photo
from ganvas.imaging.resize import resize, resize_bands
from ganvas.inference import enhance
from ganvas.inference.enhance import Canvas, EnhanceOptions, Enhancer, Target, as_photo
from ganvas.models.resolve import ImageModel
from ganvas.networks.compact import Compact
from ganvas.policy import Policy

CORE = {"torch", "numpy", "pillow", "safetensors", "typer", "rich"}
CORE |= {"scikit-learn", "scikit-image", "kornia", "tifffile"}
CPU = Policy(torch.device("cpu"))


def repeating(scale=2, channels=3):
    """A Compact that has learnt nothing: what it adds to repeated pixels is zero."""
    network = Compact(channels=channels, scale=scale, width=4, convolutions=1).eval().requires_grad_(False)
    network.body[-1].weight.zero_()
    network.body[-1].bias.zero_()
    return network


def inventing(scale=2, channels=3):
    """One that changes every pixel, and colours differently."""
    network = Compact(channels=channels, scale=scale, width=4, convolutions=1).eval().requires_grad_(False)
    for p in network.parameters():
        nn.init.normal_(p, 0, 0.3)
    return network


def enhancer(network=None, policy=CPU, base=None, **options):
    network = repeating() if network is None else network
    return Enhancer(ImageModel(network, network.body[0].in_channels, "test"), policy, EnhanceOptions(**options), base)


def noise(*shape, dtype=np.uint8, top=256):
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


def repeated(array, scale=2):
    return array.repeat(scale, 0).repeat(scale, 1)


# --- pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 256), (np.uint16, 65536), (np.uint16, 200)])
def test_depth_is_kept(dtype, top, channels, tile):
    """Pain 9: a dark image of 16 bits is one; white stays white; nothing is rounded to 8 bits on the way."""
    array = noise(21, 34, channels, dtype=dtype, top=top)
    array[0] = np.iinfo(dtype).max
    made = enhancer(tile=tile).photo(as_photo(array)).array
    assert made.dtype == dtype
    assert np.array_equal(made, repeated(array))


def test_floating_point_is_kept():
    array = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    made = enhancer().photo(as_photo(array)).array
    assert made.dtype == np.float32
    assert np.allclose(made, repeated(array), atol=1e-6)


def test_the_network_gets_what_it_was_trained_on():
    """[-1, 1], RGB, rounded once: against the sum written out."""
    network, array = inventing(), noise(15, 22, 3)
    x = torch.from_numpy(array.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    y = ((network(x)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255)
    made = enhancer(network).photo(as_photo(array)).array
    assert np.abs(made - y).max() <= 1
    assert (made == y).mean() > 0.99


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_stays_grey(channels):
    """Pain 9: grey, also grey in three channels, gets no tint from a network that has one."""
    array = np.repeat(noise(16, 16, 1), channels, axis=2)
    made = enhancer(inventing()).photo(as_photo(array)).array
    assert made.shape == (32, 32, channels)
    assert (made == made[..., :1]).all()


def test_a_grey_network_takes_grey_and_refuses_colour():
    grey = enhancer(repeating(channels=1))
    array = noise(9, 9, 1)
    assert np.array_equal(grey.photo(as_photo(array)).array, repeated(array))
    assert np.array_equal(grey.photo(as_photo(array.repeat(3, 2))).array, repeated(array.repeat(3, 2)))
    with pytest.raises(UserError, match="for grey images"):
        grey.photo(as_photo(noise(9, 9, 3)))


def test_a_network_of_other_channels_is_refused():
    with pytest.raises(UsageError, match="4 channels"):
        enhancer(repeating(channels=4)).check_channels()  # as the commands do before they begin
    with pytest.raises(UsageError, match="4 channels"):
        enhancer(repeating(channels=4)).photo(as_photo(noise(9, 9, 3)))


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_has_no_halo(channels):
    """Pain 8: what an editor left under transparency does not bleed into the edge; the matte stays sharp.

    A white disc whose surroundings are black where nothing shows, enlarged by a network and scaled on top.
    """
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    alpha = (np.clip(0.7 - np.hypot(x, y), 0, 0.1) * 2550).astype(np.uint8)
    disc = np.dstack([np.where(alpha > 0, 255, 0).astype(np.uint8)] * (channels - 1) + [alpha])
    made = enhancer(inventing()).photo(as_photo(disc), Target(outscale=3)).array
    assert made.shape == (120, 120, channels)
    seen = made[made[..., -1] > 0].astype(float)
    assert ((255 - seen[..., :-1]) * seen[..., -1:] / 255).max() <= 1, "white stays white up to the edge"


def test_opaque_stays_opaque_and_hidden_stays_hidden():
    array = noise(12, 12, 4)
    array[:6, :, 3], array[6:, :, 3] = 255, 0
    made = enhancer().photo(as_photo(array)).array
    assert np.array_equal(made[..., 3], repeated(array[..., 3]))
    assert np.array_equal(made[:12, :, :3], repeated(array[:6, :, :3]))


def test_a_palette_with_transparency(tmp_path):
    """Pain 8: tRNS palettes are lost elsewhere."""
    image = Image.fromarray(noise(10, 12, 1, top=4)[..., 0], "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.info["transparency"] = 2
    image.save(tmp_path / "p.png", transparency=2)
    wanted = np.asarray(Image.open(tmp_path / "p.png").convert("RGBA"))
    made = enhancer().photo(open_photo(tmp_path / "p.png")).array
    assert np.array_equal(made[..., 3], repeated(wanted)[..., 3])
    there = repeated(wanted)[..., 3] > 0
    assert np.array_equal(made[there], repeated(wanted)[there])


def test_orientation_profile_and_metadata_travel(tmp_path):
    """Pain 10: rotation, colour profile and EXIF, through the whole way from file to file."""
    from PIL import ImageCms

    image, exif = Image.fromarray(noise(20, 30, 3)), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "in.png", exif=exif, icc_profile=icc, dpi=(300, 300))
    save(enhancer().photo(open_photo(tmp_path / "in.png")), tmp_path / "out.png")
    made = Image.open(tmp_path / "out.png")
    assert made.size == (40, 60), "turned upright"
    assert made.getexif().get(0x0112, 1) == 1
    assert made.getexif()[0x010F] == "Maker"
    assert made.info["icc_profile"] == icc
    assert round(made.info["dpi"][0]) == 300
    assert np.array_equal(np.asarray(made), repeated(np.rot90(np.asarray(image), -1)))


# --- size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "size"),
    [
        (Target(), (40, 60)),
        (Target(outscale=3), (60, 90)),
        (Target(outscale=1.37), (27, 41)),
        (Target(outscale=0.5), (10, 15)),
        (Target(width=100), (67, 100)),
        (Target(height=33), (33, 50)),
        (Target(width=31, height=77), (77, 31)),
    ],
)
def test_sizes_are_exact(target, size):
    """Pain 12: --outscale, and exact width and height."""
    assert enhancer().photo(as_photo(noise(20, 30, 3)), target).array.shape[:2] == size


def test_scaling_is_done_before_rounding():
    """Elsewhere 8-bit pixels are scaled; here the network's own numbers are, by MATLAB's bicubic."""
    array, network = noise(24, 30, 3), inventing()
    x = torch.from_numpy(array.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    wanted = (resize(network(x), (70, 65))[0].permute(1, 2, 0).numpy() + 1) * 127.5
    made = enhancer(network, tile=16).photo(as_photo(array), Target(width=65, height=70)).array
    assert (made == wanted.round().clip(0, 255)).mean() > 0.99
    assert np.abs(made - wanted.clip(0, 255)).max() < 0.6


@pytest.mark.parametrize("size", [(40, 31), (7, 90), (1, 1), (200, 3)])
@pytest.mark.parametrize("rows", [1, 3, 8, 100])
def test_scaling_in_bands_is_scaling(size, rows):
    x = torch.rand(2, 33, 29)
    bands = list(resize_bands(x.split(rows, 1), (33, 29), size))
    assert torch.allclose(torch.cat(bands, 1), resize(x[None], size)[0], atol=1e-6)
    assert rows > 8 or size[0] < 40 or len(bands) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"outscale": 2, "width": 10},
        {"outscale": 0},
        {"outscale": 65},
        {"outscale": float("nan")},
        {"width": 0},
        {"height": -3},
        {"width": 2_000_000},
    ],
)
def test_impossible_sizes_are_refused(options):
    with pytest.raises(UsageError, match="--"):
        Target(**options)


def test_a_result_beyond_all_disks_is_refused():
    with pytest.raises(UserError, match="exceed the largest output"):
        Target(outscale=64).of(20_000, 20_000, 4)


# --- strength ------------------------------------------------------------------------------------------------


def test_no_strength_is_a_plain_enlargement():
    """Pain 14: control over what is invented.  At 0 there is nothing of the network, but bicubic."""
    array = (np.mgrid[0:24, 0:30].sum(0) * 4).astype(np.uint8)[..., None].repeat(3, 2)
    made = enhancer(inventing(), strength=0).photo(as_photo(array)).array.astype(int)
    x = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)
    bicubic = resize(x, scale=2).permute(1, 2, 0).numpy()
    assert np.abs(made - bicubic)[4:-4, 4:-4].max() <= 1  # at the edges others mirror, or do not


@pytest.mark.parametrize("tile", [0, 12])
def test_strength_mixes_the_images(tile):
    x = torch.rand(1, 3, 20, 25) * 2 - 1
    network, plain = inventing(), enhancer(inventing(), strength=0)
    plain = enhancer(network, strength=0, tile=tile)(x)
    mixed = enhancer(network, strength=0.3, tile=tile)(x)
    assert torch.allclose(mixed, 0.7 * plain + 0.3 * network(x), atol=1e-5)


def test_strength_mixes_in_a_faithful_model():
    network, faithful, x = inventing(), inventing(), torch.rand(1, 3, 16, 16)
    mixed = enhancer(network, strength=0.6, base=ImageModel(faithful, 3, "psnr"))(x)
    assert torch.allclose(mixed, 0.4 * faithful(x) + 0.6 * network(x), atol=1e-5)


def test_strength_at_the_same_size_keeps_the_image():
    array, network = noise(14, 15, 3), inventing(scale=1)
    assert np.array_equal(enhancer(network, strength=0).photo(as_photo(array)).array, array)


def test_what_does_not_mix_is_refused():
    for base in (ImageModel(repeating(4), 3, "x4"), ImageModel(repeating(channels=1), 1, "grey")):
        with pytest.raises(UsageError, match="cannot be mixed"):
            enhancer(base=base, strength=0.5)
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="--strength"):
            enhancer(strength=strength)


class Shifting(ImageToImage):
    """Twice as large, flatter, with a tint, and a detail in every pixel."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 1), nn.PixelShuffle(2)).requires_grad_(False)
        self.body[0].weight[:] = 0.8 * torch.eye(3).repeat_interleave(4, 0)[..., None, None]
        self.body[0].bias[:] = torch.tensor([0.2, -0.1, 0.05]).repeat_interleave(4) + torch.tensor([0.1, -0.1] * 6)

    def forward(self, x):
        return self.body(x)


def test_colours_are_kept_and_so_are_details():
    """Pain 14: a model that shifts colours gives them back; what it made of each pixel stays."""
    down, right = torch.meshgrid(torch.linspace(-0.7, 0.6, 60), torch.linspace(-0.5, 0.5, 70), indexing="ij")
    x = torch.stack([down, right, down * right])[None]
    found = ImageModel(Shifting().eval(), 3, "shifting")
    shifted, kept = (Enhancer(found, CPU, EnhanceOptions(keep_colours=k))(x) for k in (False, True))

    def broad(images):  # means of 10x10 pixels of what went in, as numpy has them
        return images.numpy().reshape(3, 6, 20, 7, 20).mean((2, 4))

    known = x.numpy().reshape(3, 6, 10, 7, 10).mean((2, 4))
    assert np.abs(broad(shifted) - known).max() > 0.2
    assert np.abs(broad(kept) - known).max() < 0.02
    details = [p[..., ::2, 1::2] - p[..., ::2, ::2] for p in (shifted, kept)]
    torch.testing.assert_close(details[0], details[1], atol=0.02, rtol=0)
    in_parts = Enhancer(found, CPU, EnhanceOptions(keep_colours=True, tile=16))
    assert in_parts.tilers[0].field.radius >= 14
    torch.testing.assert_close(in_parts(x), kept, atol=1e-5, rtol=0)


@pytest.mark.parametrize("outscale", [None, 3])
@pytest.mark.parametrize("tile", [None, 16])
def test_grain_is_noise_of_the_asked_size_in_all_colours_alike(tile, outscale):
    array = np.full((60, 70, 4), 120, np.uint8)
    array[..., 3] = 200
    options = {"target": Target(outscale)} if outscale else {}
    made = enhancer(tile=tile, grain=5.0).photo(as_photo(array), **options).array
    again = enhancer(tile=32, grain=5.0).photo(as_photo(array), **options).array
    assert np.array_equal(made, again)  # whatever the parts
    assert 4.8 < made[..., 0].std() < 5.2
    assert np.array_equal(made[..., 0], made[..., 1])
    assert (made[..., 3] == 200).all()
    assert abs(made[..., :3].mean() - 120) < 0.2


def test_tensors_get_grain_too():
    made = enhancer(grain=5.0)(torch.zeros(1, 3, 40, 50))
    assert 4.7 < 127.5 * made.std().item() < 5.3


def test_colours_and_grain_that_cannot_be_are_refused():
    colouriser = Compact(channels=1, scale=1, width=4, convolutions=1).eval()
    colouriser.colours = True
    with pytest.raises(UsageError, match="--keep-colours"):
        enhancer(colouriser, keep_colours=True)
    for grain in (-1, 256, float("nan")):
        with pytest.raises(UsageError, match="--grain"):
            enhancer(grain=grain)


def test_bf16_keeps_images_within_a_level_or_two():
    array, network = noise(40, 40, 3), inventing()
    exact = enhancer(network).photo(as_photo(array)).array.astype(int)
    rough = enhancer(network, Policy(torch.device("cpu"), bf16=True)).photo(as_photo(array)).array.astype(int)
    assert 10 * np.log10(255**2 / np.square(exact - rough).mean()) > 45


# --- memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, Target(outscale=1.5)])
def test_large_results_lie_in_a_file_without_a_name(target, tmp_path, monkeypatch):
    """Pain 6: the result need not fit into memory, and nothing is left behind."""
    array = noise(60, 50, 3)
    wanted = enhancer(tile=16).photo(as_photo(array), target).array
    monkeypatch.setattr(enhance, "IN_MEMORY", 1000)
    made = enhancer(tile=16).photo(as_photo(array), target, scratch=tmp_path)
    assert isinstance(made.array, np.memmap)
    assert np.array_equal(made.array, wanted)
    save(made, tmp_path / "out.png")
    assert [f.name for f in tmp_path.iterdir()] == ["out.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), wanted)


def test_no_space_for_the_result_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(enhance, "IN_MEMORY", 10)
    with Canvas((4, 4, 3), np.uint8, tmp_path) as canvas:
        canvas.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        with canvas.file, pytest.raises(UserError, match="No space left"):
            canvas.add(np.zeros((4, 4, 3), np.uint8))


def test_notes_are_of_this_image(monkeypatch):
    one = enhancer(nn.Module.train(repeating(), False))
    photo = as_photo(noise(8, 8, 3))
    one.tilers[0].notes.append("of an earlier image")
    assert one.photo(photo).notes == []


# --- as it came ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "1", "P", "CMYK"])
def test_pil_in_pil_out(mode):
    image = Image.fromarray(noise(10, 12, 3)).convert("L" if mode == "I;16" else mode)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
    made = enhancer()(image)
    assert made.size == (24, 20)
    assert made.mode == {"1": "RGB", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)


def test_arrays_and_tensors():
    array, x = noise(10, 12, 3), torch.rand(2, 3, 10, 12)
    assert np.array_equal(enhancer()(array), repeated(array))
    assert enhancer()(array[..., 0]).shape == (20, 24)
    assert enhancer()(x).shape == (2, 3, 20, 24)
    assert enhancer()(x, outscale=3).shape == (2, 3, 30, 36)
    assert torch.allclose(enhancer()(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)


# --- what is needed ------------------------------------------------------------------------------------------


def test_the_core_needs_no_framework_of_another_project():
    """Pains 1 to 3: imports that die with another torchvision, code in setup, packages in lock-step."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    needed = {requirement.split(">")[0] for requirement in project["project"]["dependencies"]}
    assert needed == CORE
    assert not (Path(__file__).parents[1] / "setup.py").exists()
