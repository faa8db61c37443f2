"""Medical images written here by pydicom, and what becomes of their values."""

import io
from pathlib import Path

import numpy as np
import pytest

from ganvas.data.sources import open_source
from ganvas.imaging.decode import BadImage, read_header, read_image
from ganvas.imaging.encode import save
from ganvas.imaging.photo import open_photo

pydicom = pytest.importorskip("pydicom")


def dicom(values: np.ndarray, *, kind: str = "MONOCHROME2", frames: int = 0, **tags: object) -> bytes:
    """A file of explicit little endian with these stored values (H, W) or (H, W, 3)."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = values.shape[-2:] if kind[0] in "MP" else values.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1 if kind[0] in "MP" else 3, kind
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(values.dtype.kind == "i")
    if kind[0] not in "MP":
        data.PlanarConfiguration = 0
    if frames:
        data.NumberOfFrames = frames
    data.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    for tag, value in tags.items():
        setattr(data, tag, value)
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


VALUES = np.array([[-1000, -160, 40, 239], [240, 3000, 39, 0]], np.int16)


def window(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3, C.11.2.1.2.1, as it is written there, with y from 0 to 65535."""
    x, out = values.astype(np.float64), np.empty(values.shape)
    low, high = x <= centre - 0.5 - (width - 1) / 2, x > centre - 0.5 + (width - 1) / 2
    out = ((x - (centre - 0.5)) / (width - 1) + 0.5) * 65535
    out[low], out[high] = 0, 65535
    return out


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_the_window_is_applied_and_recorded(kind: str) -> None:
    data = dicom(VALUES, kind=kind, WindowCenter=[40, 500], WindowWidth=[400, 50])
    got = read_image(data)
    assert got.array.dtype == np.uint16
    expected = window(VALUES, 40, 400)
    expected = 65535 - expected if kind == "MONOCHROME1" else expected
    np.testing.assert_allclose(got.array[..., 0], expected, atol=0.51)
    assert got.notes == ["DICOM window: centre 40, width 400"]
    header = read_header(data)
    assert (header.size, header.grey, header.alpha, header.bits) == ((2, 4), True, False, 16)


def test_slope_and_intercept_come_before_the_window() -> None:
    stored = ((VALUES + 1024) * 2).astype(np.uint16)
    data = dicom(stored, RescaleSlope="0.5", RescaleIntercept="-1024", WindowCenter=40, WindowWidth=400)
    np.testing.assert_allclose(read_image(data).array[..., 0], window(VALUES, 40, 400), atol=0.51)
    exact = dicom(VALUES, WindowCenter=40, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    expected = ((VALUES.astype(float) - 40) / 400 + 0.5).clip(0, 1) * 65535
    np.testing.assert_allclose(read_image(exact).array[..., 0], expected, atol=0.51)


def test_without_a_window_the_range_is_used_and_said() -> None:
    got = read_image(dicom(VALUES))
    np.testing.assert_allclose(got.array[..., 0], (VALUES + 1000.0) / 4000 * 65535, atol=0.51)
    assert got.notes == ["DICOM without a window: -1000 to 3000"]
    assert read_image(dicom(np.full((4, 4), 7, np.uint16))).array.max() == 0


def test_colour_and_several_frames() -> None:
    colours = np.random.RandomState(0).randint(0, 256, (4, 6, 3), np.uint8)
    np.testing.assert_array_equal(read_image(dicom(colours, kind="RGB")).array, colours)
    got = read_image(dicom(np.stack([VALUES, VALUES * 0]), frames=2, WindowCenter=40, WindowWidth=400))
    assert got.notes[0] == "the first frame of several is used"
    np.testing.assert_allclose(got.array[..., 0], window(VALUES, 40, 400), atol=0.51)


def test_a_person_opens_and_writes_it(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(VALUES, WindowCenter=40, WindowWidth=400))
    got = open_photo(tmp_path / "a.dcm")
    assert (got.kind, got.array.shape, got.array.dtype, got.neutral) == ("DICOM", (2, 4, 1), np.uint16, True)
    assert got.notes == ["DICOM window: centre 40, width 400"]
    assert save(got, tmp_path / "a.png") == []
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png").array, got.array)


def test_a_folder_of_them_trains_in_sixteen_bits(tmp_path: Path) -> None:
    for k in range(3):
        values = np.random.RandomState(k).randint(0, 4096, (8, 8)).astype(np.uint16)
        (tmp_path / f"{k}.dcm").write_bytes(dicom(values, WindowCenter=2048, WindowWidth=4096))
    data = open_source(str(tmp_path), cache=tmp_path / "cache")
    assert data.images.shape == (3, 8, 8, 1)
    assert data.images.dtype == np.uint16
    assert any("DICOM window: centre 2048, width 4096" in note for note in data.notes)


def test_what_cannot_be_read_has_a_reason() -> None:
    good = dicom(VALUES)
    with pytest.raises(BadImage, match=r"refused: 4x2 = 0 megapixels is over the limit of 5e-06"):
        read_image(good, max_pixels=5)
    for cut in (140, 200, len(good) - 4):
        with pytest.raises(BadImage):
            read_image(good[:cut])
    from pydicom.uid import JPEG2000

    packed = good.replace(b"1.2.840.10008.1.2.1\0", str(JPEG2000)[:20].encode())
    with pytest.raises(BadImage):
        read_image(packed)
    with pytest.raises(BadImage, match="deflated as a whole"):
        read_image(good[:160] + b"1.2.840.10008.1.2.1.99" + good[160:])


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(BadImage, match=r"needs the package pydicom: pip install 'ganvas\[dicom\]'"):
        read_image(dicom_bytes)


dicom_bytes = dicom(VALUES)


def test_restoration_learns_from_them_as_they_are(tmp_path):
    """Sixteen bits, grey, at their own resolution, and the windowing is told."""
    (tmp_path / "in").mkdir()
    for k in range(3):
        values = (np.random.default_rng(k).random((40, 50)) * 4000).astype(np.uint16)
        (tmp_path / "in" / f"{k}.dcm").write_bytes(dicom(values, WindowCenter=2000, WindowWidth=4000))
    whole = open_source(str(tmp_path / "in"), cache=tmp_path / "cache", resolution=(32, 32))
    cut = open_source(str(tmp_path / "in"), cache=tmp_path / "cache", patch=16)
    assert (cut.images.dtype, cut.images.shape[1:]) == (np.uint16, (32, 32, 1))
    told = [note for note in whole.notes if "window" in note]
    assert told
    assert set(told) <= set(cut.notes)


RAMP = np.arange(256)
INDICES = np.arange(256, dtype=np.uint8).reshape(8, 32)


def words(values: np.ndarray) -> bytes:
    return values.astype("<u2").tobytes()


def palette(factor: int, *, first: int = 0, depth: int = 16) -> dict[str, object]:
    colours = {"Red": RAMP, "Green": 255 - RAMP, "Blue": RAMP * 7 % 256}
    tags: dict[str, object] = {}
    for name, table in colours.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, first, depth]
        tags[f"{name}PaletteColorLookupTableData"] = words(table * factor) if depth == 16 else bytes(table.tolist())
    return tags


@pytest.mark.parametrize(("factor", "first", "depth"), [(257, 0, 16), (256, 0, 16), (256, 100, 16), (1, 0, 8)])
def test_palettes_are_colours(factor: int, first: int, depth: int) -> None:
    got = open_photo(dicom(INDICES, kind="PALETTE COLOR", **palette(factor, first=first, depth=depth)))
    at = np.maximum(INDICES.astype(int) - first, 0)  # indices before the first entry are the first
    np.testing.assert_array_equal(got.array, np.stack([at, 255 - at, at * 7 % 256], -1))
    assert got.notes == []
    assert read_header(dicom(INDICES, kind="PALETTE COLOR", **palette(257))).grey is False


def test_palettes_finer_than_eight_bits_are_said() -> None:
    tags = palette(257)
    tags["RedPaletteColorLookupTableData"] = words(RAMP * 257 + (RAMP == 7))
    assert read_image(dicom(INDICES, kind="PALETTE COLOR", **tags)).notes == ["16-bit colour is read as 8-bit"]


def table(values: np.ndarray, first: int = 0, bits: int = 16) -> object:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values), first, bits])
    item.LUTData, item.LUTExplanation = words(values), "bone"
    return Sequence([item])


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_the_table_of_values_is_applied(kind: str, bits: int) -> None:
    """It comes before a window, which is another view of the same values."""
    top = (1 << bits) - 1
    curve = (np.sqrt(RAMP / 255) * top).round().astype(int)
    got = read_image(dicom(INDICES, kind=kind, VOILUTSequence=table(curve, bits=bits), WindowCenter=1, WindowWidth=2))
    expected = (curve / top * 65535)[INDICES]
    expected = 65535 - expected if kind == "MONOCHROME1" else expected
    np.testing.assert_allclose(got.array[..., 0], expected, atol=0.51)
    assert got.notes == ["DICOM table of values (VOI LUT): bone"]


def test_tables_take_values_of_the_modality() -> None:
    stored = (INDICES.astype(np.int16) + 1000).astype(np.uint16)
    got = read_image(dicom(stored, RescaleSlope="2", RescaleIntercept="-2000", VOILUTSequence=table(RAMP * 257, -10)))
    np.testing.assert_array_equal(got.array[..., 0], np.minimum(INDICES.astype(int) * 2 + 10, 255) * 257)
    item = table(65535 - RAMP * 257)
    item[0].ModalityLUTType = "US"
    got = read_image(dicom(INDICES, ModalityLUTSequence=item, WindowCenter=32768, WindowWidth=65536))
    np.testing.assert_allclose(got.array[..., 0], 65535 - INDICES.astype(int) * 257, atol=1)


def test_sigmoid_windows() -> None:
    """PS3.3, C.11.2.1.3.1, and windows of multi-frame images."""
    got = read_image(dicom(VALUES, WindowCenter=40, WindowWidth=400, VOILUTFunction="SIGMOID"))
    np.testing.assert_allclose(got.array[..., 0], 65535 / (1 + np.exp(-4 * (VALUES - 40.0) / 400)), atol=0.51)
    assert got.notes == ["DICOM window: centre 40, width 400, sigmoid"]
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    shared, values, view = Dataset(), Dataset(), Dataset()
    values.RescaleSlope, values.RescaleIntercept = "2", "0"
    view.WindowCenter, view.WindowWidth = 40, 400
    shared.PixelValueTransformationSequence, shared.FrameVOILUTSequence = Sequence([values]), Sequence([view])
    got = read_image(dicom(VALUES, SharedFunctionalGroupsSequence=Sequence([shared])))
    np.testing.assert_allclose(got.array[..., 0], window(VALUES * 2, 40, 400), atol=0.51)
