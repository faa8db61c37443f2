"""The endless order: a permutation each epoch, a pure function of seed and position, with workers or without."""

import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.data import Dataset, open_source
from ganvas.data import batches as module
from ganvas.data.batches import Batches
from ganvas.data.transforms import TRANSFORMS, Crop, Flip, Noise, Rotate
from ganvas.errors import UsageError

N = 37
PIXELS = np.random.RandomState(0).randint(0, 256, (N, 9, 10, 3), np.uint8)
LABELS = np.arange(N, dtype=np.int64) % 5 - 1


def dataset(channels: int = 3) -> Dataset:
    return Dataset(PIXELS[..., :channels], LABELS, tuple("abcd"), [f"text {i}" for i in range(N)], "made")


@pytest.fixture
def from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The same images, as a file too large for memory."""
    monkeypatch.setattr(module, "IN_MEMORY", 100)
    np.save(tmp_path / "x.npy", PIXELS)
    data = dataset()
    data.images = np.load(tmp_path / "x.npy", mmap_mode="r")
    return data


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[k], b[k]) if isinstance(a[k], Tensor) else a[k] == b[k] for k in a)


def test_every_epoch_is_another_permutation() -> None:
    order = Batches(dataset(), seed=3)
    epochs = [order.indices(e * N, N) for e in range(6)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(N))
    assert len({tuple(e) for e in epochs}) == 6
    assert tuple(epochs[0]) != tuple(range(N))
    others = [tuple(Batches(dataset(), seed=s).indices(0, N)) for s in (0, 1, 2, 3, -3, 2**63, 2**70 + 5)]
    assert len(set(others)) == 7
    assert others[3] == tuple(epochs[0])


def test_every_image_comes_to_every_place_equally_often() -> None:
    small = Dataset(PIXELS[:4], name="x")
    firsts = np.array([Batches(small, seed=s).indices(4 * e, 4) for s in range(40) for e in range(10)])
    for place in range(4):
        counts = np.bincount(firsts[:, place], minlength=4)
        assert abs(counts - 100).max() < 45  # five standard deviations of a fair draw


def test_the_order_is_frozen() -> None:
    """A run that is resumed after an update of ganvas, NumPy or the machine must not see other batches."""
    order = Batches(Dataset(np.zeros((10, 8, 8, 1), np.uint8)), seed=7)
    raw = [np.random.Philox(key=np.array([7, e], np.uint64)).random_raw(10) for e in (0, 1)]
    expected = [sorted(range(10), key=lambda i: bits[i]) for bits in raw]
    assert order.indices(0, 20).tolist() == expected[0] + expected[1]
    assert order.indices(0, 20).tolist() == FROZEN


FROZEN = [8, 4, 1, 6, 3, 2, 7, 5, 9, 0, 3, 9, 1, 6, 2, 5, 4, 8, 0, 7]


def test_positions_may_be_read_in_any_way() -> None:
    order = Batches(dataset(), seed=1)
    whole = order.indices(0, 5 * N)
    random = np.random.RandomState(0)
    for _ in range(50):
        start, count = random.randint(0, 3 * N), random.randint(1, 2 * N)
        np.testing.assert_array_equal(order.indices(start, count), whole[start : start + count])
    far = 10**12
    np.testing.assert_array_equal(order.indices(far, 5), Batches(dataset(), seed=1).indices(far, 5))
    assert len(order.indices(5, 0)) == 0


def test_a_batch_is_the_images_at_its_position() -> None:
    batches = Batches(dataset(), seed=1)
    batch = batches.at(30, 20)  # crosses an epoch
    where = batches.indices(30, 20)
    assert batch["index"].tolist() == where.tolist()
    assert batch["label"].tolist() == LABELS[where].tolist()
    assert batch["text"] == [f"text {i}" for i in where]
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    assert batch["image"].dtype == torch.float32
    assert batch["image"].shape == (20, 3, 9, 10)
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(batch["image"], PIXELS[where].transpose(0, 3, 1, 2) / 127.5 - 1, atol=2e-7)
    plain = Batches(Dataset(PIXELS), seed=1).at(0, 4)
    assert plain.keys() == {"image", "index"}


@pytest.mark.parametrize("in_memory", [True, False])
def test_sixteen_bits(in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 1 << 20 if in_memory else 0)
    deep = np.array([0, 32767, 32768, 65535], np.uint16).repeat(64).reshape(4, 8, 8, 1)
    batch = Batches(Dataset(deep), seed=0).at(0, 4)
    expected = deep[batch["index"].numpy()].transpose(0, 3, 1, 2) / 32767.5 - 1
    np.testing.assert_allclose(batch["image"], expected, atol=2e-7)


def test_points_come_as_they_are() -> None:
    data = open_source("ring")
    batch = Batches(data, seed=0).at(0, 100)
    assert batch["image"].shape == (100, 2, 1, 1)
    np.testing.assert_array_equal(batch["image"].flatten(1), data.images[batch["index"].numpy()].reshape(100, 2))


def test_what_a_batch_holds_may_be_changed_without_changing_the_data() -> None:
    data = dataset()
    batches = Batches(data, seed=0)
    before = batches.at(0, 8)["image"].clone()
    batch = batches.at(0, 8)
    batch["image"].zero_()
    batch["label"].zero_()
    batch["index"].zero_()
    assert torch.equal(batches.at(0, 8)["image"], before)
    np.testing.assert_array_equal(data.labels, LABELS)
    np.testing.assert_array_equal(data.images, PIXELS)


def test_large_files_give_the_same_batches(from_file: Dataset) -> None:
    large = Batches(from_file, seed=5)
    assert large._rows is None
    for start in (0, 11, 30):
        assert same(large.at(start, 20), Batches(dataset(), seed=5).at(start, 20))


def test_a_process_that_is_not_forked_opens_the_file_itself(from_file: Dataset) -> None:
    batches = Batches(from_file, seed=5, transforms=[Flip()], workers=2)
    stream = batches.stream([0], 8)
    packed = pickle.dumps(batches)
    assert len(packed) < PIXELS.nbytes // 2
    assert same(pickle.loads(packed).at(30, 20), batches.at(30, 20))
    part = from_file.subset(range(3, 9))  # a view of the file is not the file
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).images, PIXELS[3:9])
    assert same(next(stream), batches.at(0, 8))
    batches.close()


ALL = [cls() for cls in TRANSFORMS.values()]


@pytest.mark.parametrize("transforms", [(), ALL], ids=["plain", "transformed"])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int, transforms: list[Any], from_file: Dataset) -> None:
    alone = Batches(from_file, seed=5, transforms=transforms)
    together = Batches(from_file, seed=5, transforms=transforms, workers=workers)
    starts = [0, 16, 32, 48, 7, 0, 1000]
    got = list(together.stream(starts, 16))
    assert len(got) == len(starts)
    for start, batch in zip(starts, got):
        assert same(batch, alone.at(start, 16))
        assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    for batch, again in zip(got, alone.stream(iter(starts), 16)):
        assert same(batch, again)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_endless_stream_is_read_only_a_little_ahead(workers: int, from_file: Dataset) -> None:
    asked: list[int] = []

    def starts() -> Iterator[int]:
        for start in itertools.count(0, 8):
            asked.append(start)
            yield start

    batches = Batches(from_file, seed=0, workers=workers)
    stream = batches.stream(starts(), 8)
    for i in range(5):
        assert same(next(stream), batches.at(8 * i, 8))
    assert 5 <= len(asked) <= 5 + 4 * workers
    batches.close()
    assert list(stream) == []
    assert same(next(batches.stream([16], 8)), batches.at(16, 8))  # and another one may begin
    batches.close()


def test_closing_ends_the_worker_processes(from_file: Dataset) -> None:
    import multiprocessing

    batches = Batches(from_file, seed=0, workers=2)
    next(batches.stream(itertools.count(0, 8), 8))
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


def test_transforms_follow_from_seed_and_position_alone() -> None:
    def batch() -> Tensor:
        return Batches(dataset(), seed=0, transforms=[Rotate(), Crop(), Flip(), Noise()]).at(0, 16)["image"]

    torch.manual_seed(1)
    first = batch()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert torch.equal(batch(), first)
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is nobody's business
    grey = Dataset(np.full((8, 8, 8, 1), 128, np.uint8))
    noises = [Batches(grey, seed=s, transforms=[Noise()]).at(p, 8)["image"] for s, p in ((0, 0), (0, 8), (1, 0))]
    for one, other in itertools.combinations(noises, 2):
        assert not torch.equal(one, other)


def test_without_transforms_no_generator_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.random, "fork_rng", None)
    Batches(dataset(), seed=0).at(0, 8)


@pytest.mark.parametrize("ask", [lambda b: b.at(0, N + 1), lambda b: b.stream([], N + 1)], ids=["at", "stream"])
def test_a_batch_larger_than_the_data_is_refused(ask: Callable[[Batches], Any]) -> None:
    with pytest.raises(UsageError, match="batch of 38 cannot be drawn from the 37 images of 'made'; give --batch 37"):
        ask(Batches(dataset(), seed=0))
    assert len(Batches(dataset(), seed=0).at(5, N)["index"]) == N


RESUME = """
import sys, numpy as np, torch
from ganvas.data import open_source
from ganvas.data.batches import Batches
from ganvas.data.transforms import Crop, Noise
torch.set_num_threads(1)
batch = Batches(open_source("digits"), seed=11, transforms=[Crop(), Noise()]).at(1790, 32)
np.savez(sys.argv[1], image=batch["image"].numpy(), index=batch["index"].numpy())
"""


def test_another_process_sees_the_same_batch(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", RESUME, str(tmp_path / "x.npz")], check=True)
    there = np.load(tmp_path / "x.npz")
    batches = Batches(open_source("digits"), seed=11, transforms=[Crop(), Noise()])
    batches.at(0, 64)  # whatever came before
    here = batches.at(1790, 32)
    np.testing.assert_array_equal(there["index"], here["index"])
    np.testing.assert_array_equal(there["image"], here["image"])


def test_what_is_held_out_is_never_drawn() -> None:
    order = Batches(dataset(), seed=3, hold_out=10)
    drawn = {int(i) for i in order.indices(0, 4 * 27)}
    held = [int(i) for i in order.held_out_batch(10)["index"]]
    assert len(order) == len(drawn) == 27
    assert len(set(held)) == 10
    assert sorted(drawn) + sorted(held) == sorted(drawn) + sorted(set(range(N)) - drawn)
    assert torch.equal(order.held_out_batch(4)["image"], order.held_out_batch(10)["image"][:4])
    assert [int(i) for i in Batches(dataset(), seed=3, hold_out=10).held_out_batch(10)["index"]] == held
    assert [int(i) for i in Batches(dataset(), seed=4, hold_out=10).held_out_batch(10)["index"]] != held
    semi = Batches(dataset(), seed=3, needs=("image", "labelled"), hold_out=10)
    found = {int(i) for k in range(9) for i in semi.labelled[semi.labelled_order.indices(8 * k, 8)]}
    assert found == {i for i in range(N) if LABELS[i] >= 0} - set(held)
    for wrong in (-1, N):
        with pytest.raises(UsageError, match="--hold-out must leave images"):
            Batches(dataset(), seed=0, hold_out=wrong)
