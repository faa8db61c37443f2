"""Mixtures of sources: the ratio, labels by name or by source, channels, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ganvas.data.mixture import counts_of
from ganvas.data.sources import absolute_source, open_source
from ganvas.errors import UserError


def write(file, count, channels=1, classes=(), value=0, dtype=np.uint8):
    """An .npz of 8x8 images whose first pixel is `value`, the second their number, with labels if there are classes."""
    images = np.zeros((count, 8, 8, channels), dtype)
    images[:, 0, 0] = value
    images[:, 0, 1] = np.arange(count)[:, None]
    labels = {"labels": np.array([classes[k % len(classes)] for k in range(count)])} if classes else {}
    np.savez(file, images=images, **labels)
    return str(file)


@pytest.mark.parametrize(
    ("sizes", "weights", "counts"),
    [
        ((10, 10), (3, 1), [30, 10]),
        ((100, 10), (1, 1), [100, 100]),
        ((10, 30), (1, 3), [10, 30]),
        ((7, 5), (0.5, 0.25), [10, 5]),
    ],
)
def test_every_image_once_and_the_ratio_of_the_weights(sizes, weights, counts):
    assert counts_of(sizes, weights, "x") == counts


def test_images_of_both_in_the_ratio(tmp_path):
    a, b = write(tmp_path / "a.npz", 5, value=50), write(tmp_path / "b.npz", 4, value=200)
    data = open_source(f"mix:{a}=3,{b}=1")
    values = Counter(data.images[:, 0, 0, 0].tolist())
    assert values == {50: 12, 200: 4}
    of_a = Counter(data.images[data.images[:, 0, 0, 0] == 50][:, 0, 1, 0].tolist())
    assert (len(of_a), max(of_a.values()) - min(of_a.values())) == (5, 1)  # every image, and none twice as often
    assert data.labels is None
    assert "12 of" in data.notes[0]


def test_classes_are_matched_by_name(tmp_path):
    a = write(tmp_path / "a.npz", 4, classes=("cat", "dog"))
    b = write(tmp_path / "b.npz", 4, classes=("dog", "eel"), value=9)
    data = open_source(f"mix:{a}=1,{b}=1")
    assert data.class_names == ("cat", "dog", "eel")
    assert data.labels.tolist() == [0, 1, 0, 1, 1, 2, 1, 2]
    by_source = open_source(f"mix:labels:{a}=1,{b}=1")
    assert by_source.labels.tolist() == [0] * 4 + [1] * 4
    assert by_source.class_names == (a, b)
    assert by_source.fingerprint != data.fingerprint


def test_channels_and_bits_are_those_of_the_richest(tmp_path):
    a, b = (
        write(tmp_path / "a.npz", 3, channels=3, value=255),
        write(tmp_path / "b.npz", 3, dtype=np.uint16, value=4000),
    )
    data = open_source(f"mix:{a}=1,{b}=1")
    assert (data.images.shape[3], data.images.dtype) == (3, np.uint16)
    assert data.images[0, 0, 0].tolist() == [65535] * 3
    assert data.images[3, 0, 0].tolist() == [4000] * 3


def test_sizes_follow_the_first_or_the_option(tmp_path):
    a, b = write(tmp_path / "a.npz", 3), tmp_path / "b.npz"
    np.savez(b, images=np.zeros((3, 12, 12, 1), np.uint8))
    assert open_source(f"mix:{a}=1,{b}=1").facts.resolution == (8, 8)
    assert open_source(f"mix:{a}=1,{b}=1", resolution=(16, 16)).facts.resolution == (16, 16)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mix:digits=1", "two sources or more"),
        ("mix:digits=1,photos=0", "weights above 0"),
        ("mix:digits=1,ring=1", "points in the plane"),
        ("mix:digits=1,edges:digits=1", "plain images"),
        ("mix:digits=1,nothing=1", "There is no data source"),
        ("mix:digits=1000,photos=1", "would be repeated"),
        ("mix:digits", "There is no data source"),
    ],
)
def test_refused_in_a_sentence(name, words):
    with pytest.raises(UserError, match=words):
        open_source(name)


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_source("mix:a=3,digits=1.5") == f"mix:{tmp_path}/a=3,digits=1.5"
    assert absolute_source("mix:labels:a=3,b=1") == f"mix:labels:{tmp_path}/a=3,{tmp_path}/b=1"
