"""Captions: the encoder, which texts are wrong, what is paid for them, who moves, and how images are asked for."""

from __future__ import annotations

import json
import os
import zlib

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import ganvas
from ganvas import catalog, cli
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.losses.adversarial import NonSaturating
from ganvas.networks import dcgan
from ganvas.networks.heads import Joint, Projection
from ganvas.networks.label_inputs import Embedded
from ganvas.networks.text_encoder import ByteEncoder, WordEncoder
from ganvas.tasks.text_to_image import TextGeneration, mismatch_captions
from small import FACTS, narrow, source


class Length(nn.Module):
    """A text encoder of somebody else's: no options, nothing to learn."""

    def forward(self, captions):
        return torch.tensor([[float(len(c)), float("red" in c), 1.0] for c in captions])


def task(**changes):
    spec = Spec(
        TextGeneration,
        generator=Spec(dcgan.Generator, width=4, latent=5),
        discriminator=Spec(dcgan.Discriminator, width=4, norm="none", head=Spec(Joint, width=16)),
        text=Spec(ByteEncoder, width=8, size=6),
        loss=Spec(NonSaturating),
        hidden=0.0,
    )
    return spec.replace(**changes).build(**FACTS)


def batch(*captions):
    return {"image": torch.rand(len(captions), 1, 8, 8) * 2 - 1, "text": list(captions)}


FOUR = ("a red cat", "a dog", "two birds", "nothing at all")


# --- the encoder ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [Spec(ByteEncoder, width=16, size=7), Spec(WordEncoder, size=7)])
def test_a_caption_is_read_alike_in_any_company(encoder):
    encoder = encoder.build()
    texts = ["red", "", "a much longer caption with many words", "日本語 😀", "red"]
    together = encoder(texts)
    assert together.shape == (5, 7)
    for row, text in zip(together, texts):
        torch.testing.assert_close(row, encoder([text])[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(together[0], together[1])
    assert not torch.allclose(together[0], together[3])
    assert not torch.allclose(encoder(["dog cat"]), encoder(["tac god"]))  # order counts


def test_words_are_read_with_their_neighbours_and_their_parts():
    """By hand, as in Bojanowski et al. 2017, section 3.2; the vector is the mean of theirs."""
    torch.manual_seed(0)
    encoder = WordEncoder(size=256, part=4)
    parts = ["<red>", "<birds>", "<red> <birds>", "<red", "red>", "<bir", "bird", "irds", "rds>"]
    assert encoder.parts("Red  birds") == [part.encode() for part in parts]
    assert encoder.parts(" ") == [b""]
    rows = torch.tensor([zlib.crc32(part.encode()) % 8192 for part in parts]) + 1
    assert encoder.tokens(["red birds", ""])[0].tolist() == rows.tolist()
    torch.testing.assert_close(encoder(["red birds"])[0], encoder.embed.weight[rows].double().mean(0).float())
    near, far = (torch.cosine_similarity(*encoder(["a red bird", other]), dim=0) for other in ("two red birds", "sun"))
    assert near > 0.3 > far.abs()
    assert WordEncoder(size=4, length=2).tokens(["one two three"]).shape == (1, 2)


def test_bytes_beyond_the_length_are_ignored():
    encoder = ByteEncoder(width=8, size=4, length=5)
    assert torch.equal(encoder(["abcdefgh"]), encoder(["abcdeXYZ"]))
    assert not torch.equal(encoder(["abcde"]), encoder(["abcdX"]))
    assert encoder.tokens(["é"]).tolist() == [[0xC3 + 1, 0xA9 + 1]]
    assert torch.isfinite(encoder(["\udc80 broken"])).all()


@pytest.mark.parametrize("bf16", [False, True])
def test_every_byte_that_is_read_is_learnt_from(bf16):
    encoder = ByteEncoder(width=8, size=4)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        encoder(["ab", "c"]).square().sum().backward()
    moved = encoder.embed.weight.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert moved == [ord(c) + 1 for c in "abc"]
    assert all(p.grad is not None for p in encoder.parameters())


# --- wrong texts ------------------------------------------------------------------------------------------


def test_wrong_texts_are_other_texts():
    shifts = set()
    for _ in range(200):
        captions = ["a", "b", "a", "", "c", "b"]
        wrong, shift = mismatch_captions(captions)
        shifts.add(shift)
        moved = torch.arange(6).roll(shift).tolist()
        for k, other in enumerate(moved):
            a, b = captions[k], captions[other]
            assert wrong[k] == (a != b and a != "" and b != "")
            assert other != k
    assert shifts == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("captions", [["a"], ["a", "a", "a"], ["", "a"], ["", ""]])
def test_where_there_is_no_wrong_text(captions):
    assert not mismatch_captions(captions)[0].any()
    objective = task().d_loss(batch(*captions), Progress())
    assert objective.terms.keys() == {"adversarial"}
    assert torch.isfinite(objective.total)


@torch.no_grad()
def grown(t):
    """A task whose texts matter, as after some training; nothing of it is random from step to step."""
    for p in t.parameters():
        p += 0.3 * torch.randn_like(p)
    return t.eval()


def test_the_discriminators_objective_is_reeds():
    """Algorithm 1: log s_r + (log(1 - s_w) + log(1 - s_f)) / 2, with every image and its own wrong text."""
    t, texts = grown(task()), (*FOUR, "five")  # of five, moved on is never moved back
    b = batch(*texts)
    torch.manual_seed(5)
    objective = t.d_loss(dict(b), Progress())
    torch.manual_seed(5)
    torch.rand(5)  # which captions are hidden: none
    z = torch.randn(5, 5)
    _, shift = mismatch_captions(texts)
    fake = t.generator["images"](z, t.generator["text"](texts))
    read, net = t.discriminator.text, t.discriminator.net
    moved = [texts[(k - shift) % 5] for k in range(5)]
    right, wrong = net(b["image"], read(texts)).logits, net(b["image"], read(moved)).logits
    made = net(fake, read(texts)).logits
    expected = (softplus(-right) + (softplus(wrong) + softplus(made)) / 2).double().mean()
    assert objective.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.stats["mismatched"].item() == 1
    assert (right - wrong).abs().min() > 1e-2


def test_the_generator_is_judged_by_the_discriminators_reading():
    t = grown(task())
    b = batch(*FOUR)
    torch.manual_seed(5)
    terms = t.g_loss(dict(b), Progress()).terms
    torch.manual_seed(5)
    torch.rand(4)
    fake = t.generator["images"](torch.randn(4, 5), t.generator["text"](FOUR))
    expected = softplus(-t.discriminator.net(fake, t.discriminator.text(FOUR)).logits).double().mean()
    assert terms.keys() == {"adversarial"}
    assert terms["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_caption_is_tied_to_its_image_unless_it_is_hidden():
    """Isola et al. 2017, eq. 3: the mean distance in a pixel, of the images whose caption is shown."""
    t = grown(task(pixel=2.5))
    b = batch("a red cat", "", "two birds", "a dog")
    torch.manual_seed(5)
    terms = t.g_loss(dict(b), Progress()).terms
    torch.manual_seed(5)
    torch.rand(4)
    fake = t.generator["images"](torch.randn(4, 5), t.generator["text"](b["text"]))
    shown = [0, 2, 3]
    expected = 2.5 * (fake.double() - b["image"].double()).abs()[shown].mean()
    assert terms["pixel"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms.keys() == {"adversarial", "pixel"}
    assert t.g_loss(batch("", ""), Progress()).terms.keys() == {"adversarial"}


def test_equal_captions_take_no_part_in_mismatches():
    """All are judged, so that heads that compare a batch see a whole one, but only the others are paid for."""
    t = grown(task())
    seen, paid = [], []
    right, cost = t.discriminator.discriminate, t.discriminator.loss.d
    t.discriminator.discriminate = lambda images, label=None: (seen.append(len(images)), right(images, label))[1]
    t.discriminator.loss.d = lambda real, fake: (paid.append(len(fake)), cost(real, fake))[1]
    objective = t.d_loss(batch("a", "a", "b", "b"), Progress())
    assert seen == [4, 4, 4]  # real, fake, real with wrong texts
    assert paid == [4, 4 * objective.stats["mismatched"].item()]
    assert paid[1] in (2, 4)


def test_some_captions_are_hidden_alike_for_both_players():
    t = task(hidden=0.5)
    captions = [f"caption {k}" for k in range(400)]
    b = batch(*captions)
    t.captions(b, Progress())
    hidden = [k for k, c in enumerate(b["captions"]) if c == ""]
    assert 150 < len(hidden) < 250
    assert all(c in ("", text) for c, text in zip(b["captions"], captions))
    small = batch(*FOUR)
    t.d_loss(small, Progress())
    before = list(small["captions"])
    t.g_loss(small, Progress())
    assert small["captions"] == before


# --- who moves --------------------------------------------------------------------------------------------


def moved_by(term, *modules):
    parameters = [p for m in modules for p in m.parameters()]
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return [g is not None and bool(g.abs().sum() > 0) for g in found]


@pytest.mark.parametrize("head", [Spec(Joint, width=16), Spec(Projection)], ids=["joint", "projection"])
@pytest.mark.parametrize("paired", [False, True])
def test_gradient_routing(head, paired):
    t = task(discriminator=Spec(dcgan.Discriminator, width=4, norm="none", head=head))
    b = batch(*FOUR)
    objective = t.d_loss(b, Progress(share_fakes=paired))
    for name in ("adversarial", "mismatch"):
        moved = moved_by(objective.terms[name], t.discriminator.text)
        assert all(moved), name  # the encoder learns from matching
        assert not any(moved_by(objective.terms[name], t.generator)), name
    objective.total.backward()
    t.discriminator.requires_grad_(False)
    objective = t.g_loss(b, Progress(share_fakes=paired))
    assert all(moved_by(objective.total, t.generator["images"], t.generator["text"]))


def test_each_player_has_its_encoder():
    t = task()
    mine = {id(p) for p in t.generator.parameters()}
    assert not mine & {id(p) for p in t.discriminator.parameters()}
    assert set(t.generator.keys()) == {"images", "text"}


def test_the_generator_takes_vectors_of_the_length_asked_for():
    g = dcgan.Generator(width=4, latent=5, label_size=6, label_norm=2, resolution=8, attributes=3)
    y, z = torch.randn(4, 3), torch.randn(4, 5)
    joined = g.join(z, y)
    assert torch.equal(joined[:, :5], z)
    expected = 2 * g.join.embed(y) / g.join.embed(y).square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(joined[:, 5:], expected)
    assert torch.equal(g.join(z, Embedded(y)), torch.cat([z, y], 1))  # a code is taken as it is
    with pytest.raises(UsageError, match="label_norm must be 0 or more, got -1"):
        dcgan.Generator(label_norm=-1, resolution=8, attributes=3)


def test_any_text_encoder_will_do():
    t = task(text=Spec(Length))
    b = batch(*FOUR)
    assert torch.isfinite(t.d_loss(b, Progress()).total)
    assert torch.isfinite(t.g_loss(b, Progress()).total)
    t.eval()
    red, dog = (t.sample(t.inputs([0], c)) for c in ("red", "dog"))
    assert not torch.equal(red, dog)


# --- from outside -----------------------------------------------------------------------------------------


def test_images_are_asked_for_with_a_caption(tmp_path, monkeypatch, capsys):
    data = source("textgan", tmp_path)
    options = {"batch": 8, "device": "cpu", "precision": "fp32", "set": narrow("textgan")}
    run = ganvas.train("textgan", data=data, outdir=tmp_path / "r", images=64, **options)
    model = ganvas.load(run.path, device="cpu", precision="fp32")
    one, two, free = model.sample(3, label="a dark square"), model.sample(3, label="a bright one"), model.sample(3)
    assert not torch.equal(one, two)
    assert not torch.equal(one, free)
    assert torch.equal(one, model.sample(3, label=" a dark square "))
    assert torch.equal(free, model.sample(3, label=""))
    assert model.walk([0, 1], steps=2, label="a dark square").shape == (4, 1, 8, 8)
    with pytest.raises(UsageError, match="is a caption, got 3"):
        model.sample(1, label=3)
    with pytest.raises(UsageError, match=r"The caption 'r\\udcffd' has bytes that are not UTF-8"):
        model.sample(1, label=os.fsdecode(b"r\xffd"))  # as Python reads the bytes of a command line
    words = ["sample", run.path, "-o", tmp_path / "x.npz", "--seeds", "0-2", "--caption", "a dark square", "--json"]
    monkeypatch.setattr("sys.argv", ["ganvas", *map(str, words), "--device", "cpu"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert json.loads(capsys.readouterr().out)["images"] == 3


def test_without_captions_it_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="needs captions, and the data have none"):
        ganvas.train("textgan", data="digits", outdir=tmp_path / "r", resolution=8, images=64, device="cpu",
                     set=narrow("textgan"))  # fmt: skip
    assert not (tmp_path / "r").exists()
    assert catalog.RECIPES["textgan"]().task.target.needs == {"image", "text"}
