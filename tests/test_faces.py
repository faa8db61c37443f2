"""Faces in photographs: the detector's arithmetic, alignment, and blending, with faces planted at known places."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.transform import SimilarityTransform

from ganvas.checkpoints import download
from ganvas.errors import UserError
from ganvas.game import ImageToImage
from ganvas.imaging.photo import Photo
from ganvas.inference import face_detector
from ganvas.inference.face_detector import SIDE, Face, as_input, decode, overlap, shrink, suppress
from ganvas.inference.faces import TEMPLATE, FaceRestorer, Similarity, align
from ganvas.models.resolve import ImageModel
from ganvas.policy import Policy


class Inverse(ImageToImage):
    """Dark for light; as a face model that changes every pixel."""

    def forward(self, x):
        return -x


class Same(ImageToImage):
    def forward(self, x):
        return x


def planted(*places):
    """A detector that finds faces with the template's landmarks, scaled and shifted: (side, left, top, angle)."""

    def detect(image):
        faces = []
        for side, left, top, angle in places:
            turn = SimilarityTransform(scale=side / 512, rotation=angle, translation=(left, top))
            faces.append(Face((left, top, side, side), turn(TEMPLATE)))
        return faces

    return detect


def restorer(network, *places, channels=3, **options):
    policy = Policy.choose("cpu", "fp32")
    return FaceRestorer(ImageModel(network, channels, "model"), policy, detect=planted(*places), **options)


def smooth(height, width, channels=3):
    """An image that changes slowly, (H, W, C) uint8."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 60 * np.sin(x / 23 + k) * np.cos(y / 31 - k) for k in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def photo_of(array, **options):
    return Photo(array, (0.0, float(np.iinfo(array.dtype).max)), neutral=array.shape[2] < 3, **options)


# --- the detector ----------------------------------------------------------------------------------------------------


def maps_of(*faces):
    """YuNet's maps for faces (stride, column, row, width, height, landmarks), all else without a face."""
    maps = {}
    for stride in (8, 16, 32):
        cells = (SIDE // stride) ** 2
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            maps[f"{name}_{stride}"] = np.zeros((1, cells, width), np.float32)
    for stride, column, row, width, height, landmarks in faces:
        k = row * (SIDE // stride) + column
        maps[f"cls_{stride}"][0, k], maps[f"obj_{stride}"][0, k] = 0.9, 1.3  # clipped to 1
        maps[f"bbox_{stride}"][0, k] = [0.5, 0.25, np.log(width / stride), np.log(height / stride)]
        maps[f"kps_{stride}"][0, k] = ((np.asarray(landmarks) / stride) - [column, row]).ravel()
    return maps


def test_maps_become_faces():
    landmarks = np.array([[100, 50], [140, 52], [120, 70], [105, 90], [138, 91]], np.float64)
    (face,) = decode(maps_of((16, 7, 4, 80, 96, landmarks)), 2.0)
    np.testing.assert_allclose(face.landmarks, 2 * landmarks, rtol=1e-5)
    centre = np.array([7.5, 4.25]) * 16 * 2
    np.testing.assert_allclose(face.box, [centre[0] - 80, centre[1] - 96, 160, 192], rtol=1e-5)
    assert face.score == pytest.approx(0.9**0.5)


def test_one_face_is_one():
    faces = [Face((0, 0, 10, 10), TEMPLATE, 0.8), Face((1, 1, 10, 10), TEMPLATE, 0.9), Face((20, 0, 9, 9), TEMPLATE)]
    assert [face.score for face in suppress(faces)] == [1.0, 0.9]
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 1, 1), (5, 5, 1, 1)) == 0


def test_the_detector_sees_bgr_in_640_pixels():
    image = np.zeros((300, 1280, 3), np.uint8)
    image[..., 0] = 200
    small, factor = shrink(image)
    assert (small.shape, factor) == ((150, 640, 3), 2.0)
    x = as_input(small)
    assert (x.shape, x.dtype) == ((1, 3, 640, 640), np.float32)
    assert (x[0, :, 10, 10].tolist(), x[0, :, 200, 10].tolist()) == ([0, 0, 200], [0, 0, 0])


def test_without_the_weights_the_sentence_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    face_detector.yunet.cache_clear()
    with pytest.raises(UserError, match="ganvas weights fetch yunet"):
        restorer_without_detector()


def restorer_without_detector():
    return FaceRestorer(ImageModel(Same(), 3, "model"), Policy.choose("cpu", "fp32"))


def test_weights_that_are_not_yunet_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    face_detector.yunet.cache_clear()
    folder = download.folder()
    folder.mkdir(parents=True)
    (folder / download.FILES["yunet"].file).write_bytes(b"x" * 232_589)
    with pytest.raises(UserError, match="SHA-256|not the published|differs"):
        restorer_without_detector()


# --- alignment -------------------------------------------------------------------------------------------------------


def test_alignment_is_umeyamas():
    random = np.random.default_rng(0)
    points = TEMPLATE * 0.4 + random.normal(size=(5, 2)) * 3 + [30, 80]
    transform, truth = align(points, TEMPLATE), SimilarityTransform.from_estimate(points, TEMPLATE)
    np.testing.assert_allclose(transform(points), truth(points), atol=1e-8)
    np.testing.assert_allclose(transform.inverse()(transform(points)), points, atol=1e-9)
    assert transform.scale == pytest.approx(truth.scale)
    with pytest.raises(UserError, match="on one another"):
        align(np.ones((5, 2)), TEMPLATE)


def test_similarity_is_a_complex_product():
    z = complex(1.5, -0.4) * complex(3, 7) + complex(2, 5)
    assert Similarity(1.5, -0.4, 2, 5)(np.array([3.0, 7.0])).tolist() == pytest.approx([z.real, z.imag])


# --- blending --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [100, 256, 400])
def test_the_identity_gives_the_image_back(side):
    """Larger and smaller faces than the crop, turned: what is left is the error of resampling."""
    image = photo_of(smooth(420, 500))
    result = restorer(Same(), (side, 60, 20, 0.1), size=256).photo(image)
    assert np.abs(result.array.astype(int) - image.array).max() <= 6
    assert result.notes == ["1 face restored"]


def test_the_face_changes_and_nothing_else():
    image = photo_of(smooth(300, 300))
    result = restorer(Inverse(), (120, 100, 80, 0.0), size=128).photo(image)
    middle = (slice(115, 165), slice(135, 185))
    assert np.abs(result.array[middle].astype(int) - (255 - image.array[middle])).max() <= 6
    outside = np.ones((300, 300), bool)
    outside[80:200, 100:220] = False
    np.testing.assert_array_equal(result.array[outside], image.array[outside])


def test_strength_is_a_share():
    image = photo_of(smooth(200, 200))
    whole, half = (restorer(Inverse(), (120, 40, 40, 0), size=128, strength=s).photo(image) for s in (1.0, 0.5))
    mean = (image.array.astype(float) + whole.array) / 2
    assert np.abs(half.array - mean).max() <= 1.01
    none = restorer(Inverse(), (120, 40, 40, 0), size=128, strength=0.0).photo(image)
    np.testing.assert_array_equal(none.array, image.array)


def test_several_faces_none_and_at_the_border():
    image = photo_of(smooth(200, 320))
    two = restorer(Inverse(), (80, -30, -20, 0), (80, 280, 150, 0.4), size=64).photo(image)
    assert two.notes == ["2 faces restored"]
    changed = (two.array != image.array).any(2)
    assert changed[:40, :40].any()
    assert changed[160:, 290:].any()
    assert not changed[70:140, 60:250].any()
    none = restorer(Inverse(), size=64).photo(image)
    np.testing.assert_array_equal(none.array, image.array)
    assert none.notes == ["no face was found, so nothing changes"]
    away = restorer(Inverse(), (80, 900, 900, 0), size=64).photo(image)
    np.testing.assert_array_equal(away.array, image.array)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_grey_and_alpha_are_kept(channels, dtype):
    array = smooth(160, 160, channels).astype(dtype) * (257 if dtype == np.uint16 else 1)
    if channels in (2, 4):
        array[..., -1] = np.iinfo(dtype).max
        array[70:90, 70:90, -1] = np.iinfo(dtype).max // 3
    result = restorer(Inverse(), (100, 30, 30, 0), size=64).photo(photo_of(array))
    assert (result.array.dtype, result.array.shape) == (array.dtype, array.shape)
    assert (result.array != array).any()
    if channels in (2, 4):
        np.testing.assert_array_equal(result.array[..., -1], array[..., -1])


class Enlarges(Same):
    scale = 2


class Picky(Same):
    def forward(self, x):
        return x.view(1, 3, 512, 512)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (Enlarges(), {}, "enlarges 2 times"),
        (Same(), {"strength": 1.5}, "--strength must be from 0 to 1"),
        (Same(), {"size": 8}, "--face-size must be from 16"),
        (Picky(), {"size": 64}, "takes no crops of 64 pixels"),
    ],
)
def test_models_and_options_that_do_not_fit(network, options, words):
    with pytest.raises(UserError, match=words):
        restorer(network, (80, 10, 10, 0), **options).photo(photo_of(smooth(100, 100)))


def test_the_command(tmp_path, command, monkeypatch):
    Image.fromarray(smooth(160, 160)).save(tmp_path / "a.png")
    monkeypatch.setattr("ganvas.inference.faces.yunet", lambda: planted((100, 30, 30, 0)))
    code, _, err = command("restore", "-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "--faces")
    assert (code, "--faces needs --model" in err) == (2, True)
    arguments = ["--faces", "--model", "clean", "--face-size", 128]
    code, _, err = command("restore", "-i", tmp_path / "a.png", "-o", tmp_path / "b.png", *arguments)
    assert (code, "1 face restored" in err) == (0, True), err
    code, _, err = command("restore", "-i", tmp_path / "a.png", "-o", tmp_path / "c.png", *arguments, "--tile", 64)
    assert (code, "leave --tile out" in err) == (2, True)
