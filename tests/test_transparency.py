"""Alpha through networks: opaque stays opaque and clear stays clear, and alpha as a plane of data."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

from ganvas.errors import UsageError
from ganvas.imaging.channels import keep_extremes
from ganvas.imaging.encode import save
from ganvas.imaging.photo import ALL_CLEAR, HIDDEN, Photo, open_photo
from ganvas.inference.batch import FileOptions, jobs_for, run_jobs
from ganvas.inference.enhance import EnhanceOptions, Enhancer, Target, as_photo
from ganvas.inference.translate import transform_photo
from ganvas.models.resolve import ImageModel, resolve
from ganvas.networks.compact import Compact
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
DTYPES = ["uint8", "uint16", "float32"]


def shifting(shift: float = -0.02, *, channels: int = 3, scale: int = 2) -> Compact:
    """A network that repeats pixels, and makes everything darker, or lighter."""
    network = Compact(channels=channels, scale=scale, width=4, convolutions=1).eval().requires_grad_(False)
    for parameter in network.body.parameters():
        nn.init.zeros_(parameter)
    network.body[-1].bias.fill_(shift)
    return network


def inventing(scale: int = 2) -> Compact:
    network = shifting(scale=scale)
    for seed, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, 0, 0.1, generator=torch.Generator().manual_seed(seed))
    return network


def enhancer(network: nn.Module, **options: object) -> Enhancer:
    return Enhancer(ImageModel(network, network.body[0].in_channels, "test"), CPU, EnhanceOptions(**options))


def halves(dtype: str = "uint8", *, colours: int = 3) -> np.ndarray:
    """Clear at the left, opaque at the right, one column of half transparency between."""
    top = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    array = np.random.RandomState(0).random_sample((24, 25, colours + 1)) * top
    array[..., -1] = np.where(np.arange(25) < 12, 0, top)
    array[:, 12, -1] = top // 2 or 0.5
    return array.astype(dtype)


NETWORKS = {
    "darker": (shifting(-0.05), {}),
    "lighter": (shifting(0.05), {}),
    "invents": (inventing(), {}),
    "half of it": (inventing(), {"strength": 0.5}),
    "colours kept": (shifting(-0.05), {"keep_colours": True}),
    "in tiles": (inventing(), {"tile": 16}),
    "scaled on top": (shifting(-0.05), {"target": Target(outscale=3)}),
    "scaled down": (shifting(0.05), {"target": Target(outscale=1)}),
    "with grain": (shifting(-0.05), {"grain": 20.0}),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_opaque_is_opaque_and_clear_is_clear(kind: str, dtype: str) -> None:
    network, options = NETWORKS[kind]
    result = enhancer(network, **options).photo(as_photo(halves(dtype))).array
    alpha, factor = result[..., -1], result.shape[1] / 25
    clear, opaque = round(8 * factor), round(17 * factor)  # 4 pixels: scaling down blurs, too
    assert (alpha[:, :clear] == 0).all()
    assert (alpha[:, opaque:] == (1 if dtype == "float32" else np.iinfo(dtype).max)).all()
    assert not result[:, :clear].any()
    assert 0 < alpha[:, round(12.5 * factor)].mean() < alpha.max()


def test_grey_with_alpha_and_models_for_grey() -> None:
    for network in (shifting(), shifting(channels=1)):
        alpha = enhancer(network).photo(as_photo(halves(colours=1))).array[..., -1]
        assert set(np.unique(alpha[:, :18])) == {0}
        assert set(np.unique(alpha[:, 32:])) == {255}


def test_what_differs_from_the_source_only_by_alpha_keeps_its_colours() -> None:
    """Where alpha is set to opaque, the colours are those that division by the network's alpha gives."""
    result = enhancer(shifting(-0.05)).photo(as_photo(np.full((16, 16, 4), 255, np.uint8))).array
    assert (result == 255).all()


def test_tensors_too() -> None:
    x = torch.from_numpy(halves().astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    alpha = enhancer(inventing())(x)[0, 3]
    assert (alpha[:, :18] == -1).all()
    assert (alpha[:, 32:] == 1).all()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_translated_and_styled_images(channels: int, dtype: str) -> None:
    """A network that makes transparency (4 channels) means opaque where it is almost so; elsewhere it decides."""

    def change(x: Tensor) -> Tensor:
        y = x * 0.96
        if channels == 4:
            y[:, 3, :3] = -0.5  # a part that it takes away
        return y

    photo = as_photo(halves(dtype))
    alpha = transform_photo(photo, channels, change).array[..., -1]
    top = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    assert (alpha[3:, :9] == 0).all()
    assert (alpha[3:, 16:] == top).all()
    assert np.allclose(alpha[:3, 16:] / top, 0.25 if channels == 4 else 1, atol=0.01)
    opaque = transform_photo(as_photo(photo.array[..., :3]), channels, change).array
    assert opaque.shape[2] == channels
    assert channels == 3 or (opaque[3:, :, 3] == top).all()


def test_extremes_of_any_scale() -> None:
    source = torch.full((1, 1, 8, 8), 1.0)
    source[..., :3] = -1
    for scale in (1, 2, 4):
        result = keep_extremes(torch.zeros(1, 1, 8 * scale, 8 * scale), source)
        values = result[0, 0, 0, ::scale].tolist()
        assert values == [-1, 0, 0, 0, 0, 1, 1, 1]
    assert (keep_extremes(torch.full((1, 1, 8, 8), 0.5), source, within=0.1) == 0.5).all()


# Alpha as a plane of data


def gloss() -> np.ndarray:
    """A game texture: colours everywhere, and an alpha of zeros, full values and others."""
    array = np.random.RandomState(1).randint(40, 256, (20, 24, 4)).astype(np.uint8)
    array[:, :12, 3] = 0
    array[:, 18:, 3] = 255
    return array


def run(folder: Path, change: object, alpha: str | None, name: str = "out.png") -> tuple[np.ndarray, list[str]]:
    source = folder / "in.png"
    if not source.exists():
        Image.fromarray(gloss()).save(source)
    [outcome] = run_jobs(jobs_for(source, folder / name, FileOptions(alpha=alpha)), change)
    assert outcome.status == "done", outcome.reason
    return np.asarray(Image.open(folder / name)), outcome.notes


@pytest.mark.parametrize("command", ["upscale", "translate"])
def test_textures_keep_their_colours(command: str, tmp_path: Path) -> None:
    plain = Enhancer(resolve("bicubic"), CPU, EnhanceOptions(Target(outscale=1))).change
    change = plain if command == "upscale" else lambda photo, output, share: transform_photo(photo, 3, lambda x: x)
    result, notes = run(tmp_path, change, "plane")
    np.testing.assert_array_equal(result, gloss())
    assert notes == []
    result, notes = run(tmp_path, change, "transparency")
    assert notes == [HIDDEN]
    np.testing.assert_array_equal(result[..., 3], gloss()[..., 3])
    assert not result[:, :12, :3].any()
    assert run(tmp_path, change, None)[1] == []


def test_a_plane_goes_through_the_network_like_a_colour(tmp_path: Path) -> None:
    result, _ = run(tmp_path, enhancer(shifting(-20 / 255)).change, "plane")
    expected = np.maximum(gloss().repeat(2, 0).repeat(2, 1).astype(int) - 20, 0)
    np.testing.assert_allclose(result[..., :3], expected[..., :3], atol=1)
    np.testing.assert_allclose(result[:, 30:34, 3], expected[:, 30:34, 3], atol=1)
    assert (result[:, :18, 3] == 0).all()
    assert (result[:, 42:, 3] == 255).all()


def test_without_a_place_for_the_plane_it_is_left_out(tmp_path: Path) -> None:
    plain = Enhancer(resolve("bicubic"), CPU, EnhanceOptions(Target(outscale=1))).change
    result, notes = run(tmp_path, plain, "plane", "out.bmp")
    np.testing.assert_array_equal(result, gloss()[..., :3])
    assert notes == ["BMP holds no plane of data, and alpha is left out"]


def test_an_image_of_which_nothing_shows_is_a_plane(tmp_path: Path) -> None:
    array = gloss()
    array[..., 3] = 0
    Image.fromarray(array).save(tmp_path / "in.png")
    plain = Enhancer(resolve("bicubic"), CPU, EnhanceOptions(Target(outscale=1)))
    for alpha in ("transparency", None, "plane"):
        result, notes = run(tmp_path, plain.change, alpha)
        np.testing.assert_array_equal(result, array)
        assert notes == [ALL_CLEAR]
    np.testing.assert_array_equal(plain(array), array)


def test_other_words_for_alpha_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="transparency or plane"):
        run(tmp_path, None, "ignore")


# Floating point


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3e38, 3e38), (0, 1e-40), (-1e30, -1e30), (1e6, 1e6 + 1), (3e38, 3e38), (-2, 9)]
)
def test_floating_point_is_saved_as_it_is_read(low: float, high: float, channels: int, tmp_path: Path) -> None:
    """The 16 bits of a PNG are the share of the range, computed here in 64 bits; the network sees the same."""
    unit = np.random.RandomState(0).random_sample((6, 7, channels))
    array = (low + unit * (high - low)).astype(np.float32)
    if channels == 4:
        array[..., 3] = unit[..., 3] * 3e38 if high > 1e30 else unit[..., 3] * 1.5  # beyond opaque
    out, extra = io.BytesIO(), ["unassalpha"] if channels == 4 else None
    tifffile.imwrite(out, array, photometric="rgb" if channels > 1 else "minisblack", extrasamples=extra)
    photo = open_photo(out.getvalue())
    save(photo, tmp_path / "a.png")
    wide, (black, white) = array.astype(np.float64), photo.levels
    share = (wide - black) / (white - black)
    share[..., 3:] = wide[..., 3:].clip(0, 1)
    back = open_photo(tmp_path / "a.png").array
    back = back[..., [0] * (channels - back.shape[2]) + list(range(back.shape[2]))]  # equal colours are one
    np.testing.assert_allclose(back, share.clip(0, 1) * 65535, atol=0.501)
    planes = photo.planes()
    seen = share[..., :3] * share[..., 3:] if channels == 4 else share
    np.testing.assert_allclose(planes.colour[0].permute(1, 2, 0), seen * 2 - 1, atol=1e-5)
    assert np.isfinite(photo.pixels(planes)).all()
    if channels < 4:
        np.testing.assert_allclose(photo.pixels(planes), array, atol=1e-6 * max(white - black, abs(white)))


def test_the_photo_says_how_alpha_is_meant() -> None:
    plane = Photo(gloss(), plane=True, neutral=False)
    planes = plane.planes()
    np.testing.assert_array_equal(plane.pixels(planes), gloss())
