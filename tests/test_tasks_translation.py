"""Pairs, two piles, many domains, a painting style: published objectives, who pays for what, models in use."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.nn.functional import l1_loss

import ganvas
import published_translation as published
from ganvas import catalog
from ganvas.config import Spec
from ganvas.errors import UsageError, UserError
from ganvas.features.content import Content
from ganvas.game import BaseDiscriminator, Progress, Scores
from ganvas.losses.adversarial import LeastSquares, NonSaturating
from ganvas.losses.pixel import L1
from ganvas.networks import cyclegan as translation
from ganvas.networks import patchgan as patch
from ganvas.networks import stargan
from ganvas.tasks.cartoon import Cartoon, smooth_edges
from ganvas.tasks.cut import CUT, patch_contrast
from ganvas.tasks.multidomain import MultiDomain
from ganvas.tasks.paired import Paired
from ganvas.tasks.translation import side_by_side
from ganvas.tasks.unpaired import Unpaired

NOW, APART = Progress(share_fakes=True), Progress()
FACTS = {"resolution": (8, 8), "channels": 3}


class Pixels(nn.Module):
    """An image to an image, by one matrix for all pixels."""

    def __init__(self, *, channels=3, source_channels=0):
        super().__init__()
        self.conv = nn.Conv2d(source_channels or channels, channels, 1)

    def forward(self, x):
        return torch.tanh(self.conv(x))


class Judge(BaseDiscriminator):
    """One verdict for an image, by one matrix."""

    def __init__(self, *, resolution, channels=3):
        super().__init__()
        self.score = nn.Linear(channels * resolution[0] * resolution[1], 1)

    def forward(self, x, label=None):
        return Scores(self.score(x.flatten(1)))


class Squares(nn.Module):
    def forward(self, x):
        return x.square()


def random_images(seed, n=4, channels=3):
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def softplus(x):
    return torch.log1p(torch.exp(x))


def same(term, expected):
    """The objective's own arithmetic is at most float32."""
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)


SMALL = {"generator": Spec(Pixels), "discriminator": Spec(Judge)}


def moves(objective, task, players):
    """Which networks a term reaches."""
    found = {}
    for name, term in objective.terms.items():
        task.zero_grad(set_to_none=True)
        term.backward(retain_graph=True)
        reached = {k for k, m in players.items() if any(p.grad is not None and p.grad.any() for p in m.parameters())}
        found[name] = reached
    return found


# --- pairs --------------------------------------------------------------------------------------------------


def paired(**more):
    torch.manual_seed(0)
    return Paired(**SMALL, loss=Spec(NonSaturating), **FACTS, source_channels=1, **more).double()


def test_pairs_cost_what_is_published():
    """Isola et al. 2017, eq. 1, 3 and 4, the generator paid -log D; the discriminator sees both images."""
    task, source, target = paired(), random_images(0, channels=1), random_images(1)
    conv, score = task.generator.conv, task.discriminator.net.score
    fake = torch.tanh(torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], source) + conv.bias.view(1, -1, 1, 1))

    def verdict(image):
        return torch.cat([source, image], 1).flatten(1) @ score.weight.t() + score.bias

    batch = {"source": source, "image": target}
    d, g = task.d_loss(batch, APART), task.g_loss(batch, APART)
    same(d.terms["adversarial"], softplus(-verdict(target)).mean() + softplus(verdict(fake)).mean())
    same(g.terms["adversarial"], softplus(-verdict(fake)).mean())
    same(g.terms["pixel"], 100 * (fake - target).abs().mean())
    assert g.terms.keys() == {"adversarial", "pixel"}


def test_pairs_move_their_own_player():
    task, batch = paired(), {"source": random_images(0, channels=1), "image": random_images(1)}
    players = {"g": task.generator, "d": task.discriminator}
    assert moves(task.d_loss(batch, APART), task, players) == {"adversarial": {"d"}}
    found = moves(task.g_loss(batch, APART), task, players)
    assert found["pixel"] == {"g"}


@pytest.mark.parametrize("make", ["paired", "unpaired", "cartoon"])
def test_fakes_serve_both_players(make):
    """Where each player moves once on a batch the generator runs once, and is paid as if it had run again."""
    task = {"paired": paired, "unpaired": unpaired, "cartoon": painting}[make]()
    one = {"source": random_images(0, channels=1), "other": random_images(2), "image": random_images(1)}
    two, calls = dict(one), []
    for network in task.generator.modules():
        if isinstance(network, Pixels):
            network.register_forward_hook(lambda *_: calls.append(1))
    found = task.d_loss(one, NOW), task.g_loss(one, NOW)
    shared = len(calls)
    expected = task.d_loss(two, APART), task.g_loss(two, APART)
    assert len(calls) - shared == shared + (2 if make == "unpaired" else 1)
    for a, b in zip(found, expected):
        for name in b.terms:
            same(a.terms[name], b.terms[name])
    assert "fakes" not in one


# --- two piles ----------------------------------------------------------------------------------------------


def unpaired(**more):
    torch.manual_seed(0)
    return Unpaired(**SMALL, loss=Spec(LeastSquares), pool=0, **FACTS, **more).double()


def test_two_piles_cost_what_is_published():
    """Zhu et al. 2017, eq. 1-3 with least squares (section 4), and the identity of section 5.2."""
    task, a, b = unpaired(cycle=7.0, identity=0.3), random_images(0), random_images(1)
    ab, ba = task.generator["ab"], task.generator["ba"]
    judge = {p: task.discriminator[p].net.score for p in "ab"}

    def verdict(pile, x):
        return x.flatten(1) @ judge[pile].weight.t() + judge[pile].bias

    batch = {"other": a, "image": b}
    d, g = task.d_loss(batch, APART), task.g_loss(batch, APART)
    for pile, real, fake in (("a", a, ba(b)), ("b", b, ab(a))):
        expected = ((verdict(pile, real) - 1).square().mean() + verdict(pile, fake).square().mean()) / 2
        same(d.terms[f"adversarial_{pile}"], expected)
        same(g.terms[f"adversarial_{pile}"], (verdict(pile, fake) - 1).square().mean() / 2)
    same(g.terms["cycle_a"], 7 * (ba(ab(a)) - a).abs().mean())
    same(g.terms["cycle_b"], 7 * (ab(ba(b)) - b).abs().mean())
    same(g.terms["identity_a"], 7 * 0.3 * (ba(a) - a).abs().mean())
    same(g.terms["identity_b"], 7 * 0.3 * (ab(b) - b).abs().mean())
    assert not any(k.startswith("identity") for k in unpaired(identity=0.0).g_loss(batch, APART).terms)


def test_two_piles_move_their_own_players():
    task, batch = unpaired(), {"other": random_images(0), "image": random_images(1)}
    players = {**task.generator, **task.discriminator}
    assert moves(task.d_loss(batch, APART), task, players) == {"adversarial_a": {"a"}, "adversarial_b": {"b"}}
    task.discriminator.requires_grad_(False)
    assert moves(task.g_loss(batch, APART), task, players) == {
        "adversarial_a": {"ba"},
        "adversarial_b": {"ab"},
        "cycle_a": {"ab", "ba"},
        "cycle_b": {"ab", "ba"},
        "identity_a": {"ba"},
        "identity_b": {"ab"},
    }


def test_each_pile_has_a_pool_of_its_own():
    task = Unpaired(**SMALL, loss=Spec(LeastSquares), pool=8, **FACTS)
    batch = {"other": random_images(0).float(), "image": random_images(1).float()}
    task.d_loss(batch, APART)
    pools = {p: task.discriminator[p].pool.images[:4] for p in "ab"}
    torch.testing.assert_close(pools["a"], task.generator["ba"](batch["image"]))
    torch.testing.assert_close(pools["b"], task.generator["ab"](batch["other"]))


def test_a_model_of_two_piles_goes_both_ways():
    task, x = unpaired(), random_images(3)
    assert torch.equal(task.translate(x), task.generator["ab"](x))
    assert torch.equal(task.translate(x, back=True), task.generator["ba"](x))
    with pytest.raises(UsageError, match="translates one way"):
        paired().translate(x[:, :1], back=True)


# --- many domains -------------------------------------------------------------------------------------------


def domains(**more):
    torch.manual_seed(0)
    options = {"classes": 3, **more}
    networks = {
        "generator": Spec(stargan.Generator, width=4, blocks=1),
        "discriminator": Spec(stargan.Discriminator, width=4, depth=2),
    }
    return MultiDomain(**networks, loss=Spec(catalog.LOSSES["wasserstein"]), **FACTS, **options)


def test_where_the_terms_of_domains_go():
    task = domains()
    batch, players = {"image": random_images(0).float(), "label": torch.tensor([0, 2, 1, 1])}, {"g": task.generator}
    players["d"] = task.discriminator
    assert moves(task.d_loss(batch, APART), task, players) == {"adversarial": {"d"}, "class_real": {"d"}}
    task.discriminator.requires_grad_(False)  # as the trainer does
    everything = {name: {"g"} for name in ("adversarial", "class", "cycle")}
    assert moves(task.g_loss(batch, APART), task, players) == everything


@pytest.mark.parametrize("kind", ["classes", "attributes"])
def test_domains_cost_what_is_published(kind, monkeypatch):
    """Choi et al. 2018, eq. 2-6 with the Wasserstein loss of section 3.3."""
    classes = kind == "classes"
    task = domains(classification=2.0, reconstruction=5.0, **({} if classes else {"classes": 0, "attributes": 3}))
    real = random_images(0).float()
    label = torch.tensor([0, 1, 2, 0]) if classes else torch.tensor([[1.0, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]])
    order = torch.tensor([2, 0, 3, 1])
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: order)
    target = label[order]

    def named(logits, wanted):
        if classes:
            return -torch.log_softmax(logits, 1)[torch.arange(4), wanted].mean()
        p = torch.sigmoid(logits)
        return -(wanted * p.log() + (1 - wanted) * (1 - p).log()).sum() / 4

    batch, judge = {"image": real, "label": label}, task.discriminator.net
    d, g = task.d_loss(batch, APART), task.g_loss(batch, APART)
    fake = task.generator(real, target)
    same(d.terms["adversarial"], judge(fake).logits.mean() - judge(real).logits.mean())
    same(d.terms["class_real"], 2 * named(judge(real).label_logits, label))
    assert d.terms.keys() == {"adversarial", "class_real"}  # it does not learn domains from fakes
    same(g.terms["adversarial"], -judge(fake).logits.mean())
    same(g.terms["class"], 2 * named(judge(fake).label_logits, target))
    same(g.terms["cycle"], 5 * (task.generator(fake, label) - real).abs().mean())
    assert g.terms.keys() == {"adversarial", "class", "cycle"}


def test_domains_to_translate_to_are_those_of_the_batch():
    task, label = domains(), torch.tensor([0, 1, 1, 2, 2, 2])
    torch.manual_seed(1)
    found = [task._targets(label) for _ in range(8)]
    assert all(torch.equal(f.sort().values, label) for f in found)
    assert any(not torch.equal(f, label) for f in found)


def test_what_a_domain_is_asked_for_by():
    task = domains()
    assert task.target_labels(2, 1).tolist() == [1, 1]
    assert task.read_label("b", ["a", "b", "c"]) == 1
    with pytest.raises(UsageError, match="needs a target label, a domain"):
        task.translate(random_images(0).float())
    with pytest.raises(UsageError, match="from 0 to 2, got 3"):
        task.target_labels(1, 3)
    vectors = domains(classes=0, attributes=3)
    assert vectors.target_labels(2, [1.0, 0.0, 1.0]).shape == (2, 3)
    assert vectors.read_label("1,0,1", []) == [1.0, 0.0, 1.0]
    assert vectors.target_labels(1, vectors.read_label("2", [])).tolist() == [[0.0, 0.0, 1.0]]
    with pytest.raises(UsageError, match="a vector of 3 numbers"):
        vectors.target_labels(1, 3)


@pytest.mark.parametrize("facts", [{"classes": 1}, {"classes": 0}])
def test_one_domain_is_refused(facts):
    with pytest.raises(UsageError, match="translates between domains, and the data have (a single one|no labels)"):
        domains(**facts)


# --- a painting style ---------------------------------------------------------------------------------------


def painting(**more):
    torch.manual_seed(0)
    options = {"warmup": 0, **more}
    return Cartoon(**SMALL, loss=Spec(NonSaturating), content=Spec(Squares), **FACTS, **options).double()


def test_a_painting_style_costs_what_is_published():
    """Chen et al. 2018, eq. 2-4: fakes and smoothed paintings are to be told from paintings, half of the fakes each."""
    task, photo, painted = painting(keep=3.0), random_images(0), random_images(1)
    score, fake = task.discriminator.net.score, task.generator(photo)

    def verdict(x):
        return x.flatten(1) @ score.weight.t() + score.bias

    batch = {"other": photo, "image": painted}
    d, g = task.d_loss(batch, APART), task.g_loss(batch, APART)
    wrong = (softplus(verdict(fake)).mean() + softplus(verdict(smooth_edges(painted))).mean()) / 2
    same(d.terms["adversarial"], softplus(-verdict(painted)).mean() + wrong)
    same(g.terms["adversarial"], softplus(-verdict(fake)).mean())
    same(g.terms["content"], 3 * (fake.square() - photo.square()).abs().mean())
    assert set(g.terms) == {"adversarial", "content"}


def test_a_painting_style_can_keep_more_than_its_content():
    task, photo, painted = painting(terms=[Spec(L1, weight=4.0)]), random_images(0), random_images(1)
    g = task.g_loss({"other": photo, "image": painted}, APART)
    same(g.terms["l1"], 4 * (task.generator(photo) - photo).abs().mean() / 2)


def test_a_term_may_stand_twice():
    task, photo, painted = (
        painting(terms=[Spec(L1, weight=1.0), Spec(L1, weight=3.0)]),
        random_images(0),
        random_images(1),
    )
    g = task.g_loss({"other": photo, "image": painted}, APART)
    once = (task.generator(photo) - photo).abs().mean() / 2
    same(g.terms["l1_0"], once)
    same(g.terms["l1_1"], 3 * once)
    assert set(g.terms) == {"adversarial", "content", "l1_0", "l1_1"}


def test_where_the_terms_of_a_painting_style_go():
    task, batch = painting(terms=[Spec(L1)]), {"other": random_images(0), "image": random_images(1)}
    players = {"g": task.generator, "d": task.discriminator}
    assert moves(task.d_loss(batch, APART), task, players) == {"adversarial": {"d"}}
    task.discriminator.requires_grad_(False)
    everything = {name: {"g"} for name in ("adversarial", "content", "l1")}
    assert moves(task.g_loss(batch, APART), task, players) == everything


def test_in_the_warm_up_content_is_all_that_counts():
    task, batch = painting(warmup=0.1), {"other": random_images(0), "image": random_images(1)}
    for images, share in ((99, 0.0), (100, 1.0)):
        now = Progress(images=images, total=1000)
        d, g = task.d_loss(batch, now), task.g_loss(batch, now)
        d.total.backward()
        moved = any(p.grad.any() for p in task.discriminator.parameters())
        assert (d.total.item() > 0, g.terms["adversarial"].item() > 0, moved) == (bool(share),) * 3
        assert g.terms["content"] > 0


def test_edges_are_smoothed_and_the_rest_is_not():
    """Against SciPy: Gaussian weights within five pixels, where a line is at most two pixels away."""
    x = torch.full((1, 1, 20, 24), -0.5, dtype=torch.float64)
    x[:, :, :, 12:] = 0.9
    found = smooth_edges(x)[0, 0].numpy()
    weights = np.exp(-((np.arange(5) - 2) ** 2) / (2 * 1.5**2))
    soft = ndimage.correlate1d(x[0, 0].numpy(), weights / weights.sum(), axis=1, mode="mirror")
    lines = np.zeros(24, bool)
    lines[11:13] = True  # on both sides of the step
    near = ndimage.binary_dilation(lines, iterations=2)
    np.testing.assert_allclose(found, np.where(near, soft, x[0, 0]), atol=1e-6)
    assert (found[:, :9] == -0.5).all()
    assert (found[:, 15:] == 0.9).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_content_is_seen_in_any_channels_and_is_no_state(channels):
    content, x = Content(), torch.rand(2, channels, 24, 20) * 2 - 1
    assert not content.state_dict()
    assert not list(content.parameters())
    map_ = content(x)
    assert map_.shape == (2, 96, 6, 5)
    if channels == 4:
        seen = x[:, :3] * (x[:, 3:] + 1) / 2 + 1 - (x[:, 3:] + 1) / 2
        torch.testing.assert_close(map_, content(seen))
    x.requires_grad_()
    content(x).sum().backward()
    assert x.grad.any()


def test_content_of_a_network_that_is_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    monkeypatch.setenv("GANVAS_WEIGHTS", str(tmp_path))
    with pytest.raises(UsageError, match="vgg19"):
        Content(network="vgg19")


# --- recipes ------------------------------------------------------------------------------------------------


def test_recipes_have_the_published_numbers():
    pix2pix, cyclegan, stargan_ = (catalog.RECIPES[n]() for n in ("pix2pix", "cyclegan", "stargan"))
    for recipe in (pix2pix, cyclegan):
        for optimizer in (recipe.g_optimizer, recipe.d_optimizer):
            assert (optimizer.get("lr"), optimizer.get("betas")) == (2e-4, (0.5, 0.999))
        assert recipe.batch == 1
        schedule = recipe.lr_schedule.build()
        assert [schedule(t) for t in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]
    real, fake = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.1])
    loss = pix2pix.task.get("loss").build()
    assert loss.d(real, fake).item() == pytest.approx((softplus(-real).mean() + softplus(fake).mean()).item() / 2)
    assert loss.g(fake).item() == pytest.approx(softplus(-fake).mean().item())
    loss = cyclegan.task.get("loss").build()
    assert loss.d(real, fake).item() == pytest.approx(((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2)
    assert loss.g(fake).item() == pytest.approx(((fake - 1) ** 2).mean())
    task = cyclegan.task
    assert (pix2pix.task.get("pixel"), task.get("cycle"), task.get("identity"), task.get("pool")) == (100, 10, 0.5, 50)
    assert (stargan_.d_steps, stargan_.batch, stargan_.g_optimizer.get("lr")) == (5, 16, 1e-4)
    assert stargan_.task.get("reconstruction") == 10
    assert stargan_.task.get("penalties")[0].get("weight") == 10


MISMATCHED = [
    ("pix2pix", "digits", "needs pairs"),
    ("cyclegan", "digits", "needs two unpaired image sets"),
    ("cartoon", "edges:digits", "needs two unpaired image sets"),
    ("stargan", "photos", "no labels"),
]


@pytest.mark.parametrize(("recipe", "data", "said"), MISMATCHED)
def test_data_that_do_not_fit_are_a_sentence(recipe, data, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        ganvas.train(recipe, data=data, resolution=8, outdir=tmp_path / "r", images=8, device="cpu")
    assert not (tmp_path / "r").exists()


# --- models in use ------------------------------------------------------------------------------------------

TINY = {"resolution": 8, "images": 16, "batch": 8, "device": "cpu", "precision": "fp32"}
PARTS = {"generator.width": 4, "discriminator.width": 4}


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """A model from lines to colours with transparency."""
    place = tmp_path_factory.mktemp("coloured")
    for k in range(8):
        pixels = np.random.RandomState(k).randint(0, 255, (8, 8, 4), np.uint8)
        Image.fromarray(pixels).save(place / f"{k}.png")
    options = {**TINY, "set": {**PARTS, "generator.depth": 2}}
    run = ganvas.train("pix2pix", data=f"edges:{place}", outdir=place / "run", **options)
    return ganvas.load(run.path, device="cpu", precision="fp32")


def test_a_model_takes_what_it_gives(coloured):
    grey = np.random.RandomState(0).randint(0, 255, (11, 9, 1), np.uint8)
    tensor = torch.from_numpy(grey).permute(2, 0, 1)[None].float() / 127.5 - 1
    made = coloured(tensor)
    assert made.shape == (1, 4, 11, 9)
    as_array = coloured(grey)
    assert (as_array.shape, as_array.dtype) == ((11, 9, 4), np.uint8)
    np.testing.assert_allclose(as_array, (made[0].permute(1, 2, 0).numpy() + 1) * 127.5, atol=0.51)
    np.testing.assert_array_equal(coloured(np.stack([grey, grey]))[1], as_array)
    image = coloured(Image.fromarray(grey[..., 0]))
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(image), as_array)
    np.testing.assert_array_equal(coloured(grey[..., 0]), as_array)
    for odd, reason in ((grey.astype(float), "An image is .* got float64"), (torch.zeros(1, 3, 8, 8), "takes")):
        with pytest.raises(UsageError, match=reason):
            coloured(odd)
    with pytest.raises(UsageError, match="one kind of image"):
        coloured(grey, label=1)


def test_a_turned_photograph_is_translated_upright(coloured):
    grey = Image.fromarray(np.random.RandomState(0).randint(0, 255, (8, 12), np.uint8))
    turned = grey.copy()
    turned.getexif()[0x0112] = 6
    assert coloured(turned).size == (8, 12)
    np.testing.assert_array_equal(np.asarray(coloured(turned)), np.asarray(coloured(grey.transpose(Image.ROTATE_270))))


def test_colours_become_what_the_model_takes(coloured):
    """A model from grey takes the luma of a colourful image, on white where it is transparent."""
    colours = np.random.RandomState(0).randint(0, 255, (8, 8, 3), np.uint8)
    luma = Image.fromarray(colours).convert("L")
    assert np.abs(np.asarray(coloured(Image.fromarray(colours)), int) - np.asarray(coloured(luma), int)).max() <= 3


def test_a_model_of_noise_translates_nothing(tmp_path):
    options = {**TINY, "set": PARTS}
    run = ganvas.train("dcgan", data="digits", outdir=tmp_path / "r", **options)
    with pytest.raises(UsageError, match="does not translate images; use model.sample"):
        ganvas.load(run.path, device="cpu")(torch.zeros(1, 1, 8, 8))


def test_files_of_others_are_models(tmp_path):
    state, x = published.filled(published.unet_shapes()), torch.rand(1, 3, 32, 32) * 2 - 1
    torch.save(state, tmp_path / "latest_net_G.pth")
    model = ganvas.load(tmp_path / "latest_net_G.pth", device="cpu", precision="fp32")
    torch.testing.assert_close(model(x), published.unet(state, x), rtol=1e-3, atol=2e-5)
    assert model(x[:, :, :30, :21]).shape == (1, 3, 30, 21)
    state = published.filled(published.stargan_shapes())
    torch.save(state, tmp_path / "200000-G.ckpt")
    model = ganvas.load(tmp_path / "200000-G.ckpt", device="cpu", precision="fp32")
    wanted = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(model(x, label=1), published.stargan(state, x, wanted), rtol=1e-3, atol=2e-5)
    torch.testing.assert_close(model(x, label=model.read_label("0,1,0,0,0")), model(x, label=model.read_label("1")))
    with pytest.raises(UsageError, match="5 numbers or one attribute"):
        model(x)
    (tmp_path / "odd.pth").write_bytes(b"nothing")
    with pytest.raises(UserError, match="neither a PyTorch file nor safetensors"):
        ganvas.load(tmp_path / "odd.pth")


def test_dropout_may_stay_on_as_noise(tmp_path):
    torch.save(published.filled(published.unet_shapes(depth=7, width=2)), tmp_path / "g.pth")
    model = ganvas.load(tmp_path / "g.pth", device="cpu", precision="fp32")
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    state, still = torch.get_rng_state(), model(x)
    made = [model(x, noise=seed) for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert torch.equal(model(x), still)  # and rests again
    assert not torch.equal(still, made[0])
    assert torch.equal(torch.get_rng_state(), state)
    torch.save(published.filled(published.resnet_shapes()), tmp_path / "g.pth")
    with pytest.raises(UsageError, match="has no dropout"):
        ganvas.load(tmp_path / "g.pth", device="cpu")(x, noise=1)


def test_strips_side_by_side():
    grey, rgba = torch.zeros(2, 1, 4, 3), torch.full((2, 4, 4, 5), 0.5)
    strip = side_by_side(grey, torch.ones(2, 3, 4, 2), rgba)
    assert strip.shape == (2, 4, 4, 10)
    assert (strip[:, 3, :, :5] == 1).all()
    assert (strip[:, :3, :, :3] == 0).all()
    assert side_by_side(grey, grey).shape == (2, 1, 4, 6)


def test_images_that_are_held_out_are_shown(tmp_path):
    from ganvas.data.batches import Batches
    from ganvas.data.sources import open_source

    data = open_source("edges:digits", resolution=(8, 8))
    batches = Batches(data, seed=0, needs={"source"}, hold_out=5)
    shown = {tuple(x.flatten().tolist()) for x in batches.preview(range(20))["image"]}
    trained = {tuple(x.flatten().tolist()) for x in batches.at(0, len(batches))["image"]}
    assert len(shown) == 5
    assert not shown & trained


def test_copies_of_a_task_share_their_examples():
    task = paired()
    task.examples = lambda places: {"image": random_images(0), "source": random_images(0, channels=1)}
    assert copy.deepcopy(task).examples is task.examples
    panel = task.panel(task.inputs([0, 1, 2, 3]))
    assert panel.shape == (4, 3, 8, 24)
    torch.testing.assert_close(panel[..., 16:], random_images(0).float())


def test_the_whole_networks_fit_each_other():
    """CycleGAN as published, small: one step of each player on images of an odd size."""
    recipe = catalog.RECIPES["cyclegan"]()
    for path, value in {"generator.width": "4", "generator.blocks": "1", "discriminator.width": "4"}.items():
        recipe.set(path, value)
    task = recipe.task.build(resolution=(18, 26), channels=1)
    batch = {"image": torch.rand(2, 1, 18, 26), "other": torch.rand(2, 1, 18, 26)}
    assert task.d_loss(batch, NOW).total.isfinite()
    assert task.g_loss(batch, NOW).total.isfinite()
    assert isinstance(task.generator["ab"], translation.Generator)
    assert isinstance(task.discriminator["a"].net, patch.Discriminator)
    assert l1_loss(task.translate(batch["other"]), batch["other"]) > 0


# --- contrast between patches -------------------------------------------------------------------------------


def contrastive(**more):
    torch.manual_seed(0)
    networks = {"generator": Spec(translation.Generator, width=4, blocks=3), "discriminator": SMALL["discriminator"]}
    return CUT(**networks, loss=Spec(LeastSquares), head=6, **FACTS, **more).double()


def test_patches_are_contrasted_as_published():
    """Park et al. 2020, eq. 4, place by place: the positive at the same place, the negatives at all others."""
    q, k = (torch.nn.functional.normalize(torch.randn(2, 7, 5, dtype=torch.float64), dim=2) for _ in "qk")
    expected = []
    for n in range(2):
        for s in range(7):
            others = [(q[n, s] @ k[n, t] / 0.07).exp() for t in range(7) if t != s]
            positive = (q[n, s] @ k[n, s] / 0.07).exp()
            expected.append(-(positive / (positive + sum(others))).log())
    same(patch_contrast(q, k, 0.07), torch.stack(expected).mean())


def test_contrast_is_between_the_encoders_maps_of_source_and_result():
    task, a, b = contrastive(contrast=3.0, identity=2.0), random_images(0), random_images(1)
    net, heads = task.generator["net"], task.generator["heads"]
    terms = task.g_loss({"other": a, "image": b}, APART).terms

    def contrast(source, result):
        maps = zip(heads, net.maps(source), net.maps(result), strict=True)
        features = [[torch.nn.functional.normalize(h(m.flatten(2).mT), dim=2) for m in two] for h, *two in maps]
        return sum(patch_contrast(q, k, 0.07) for k, q in features) / len(heads)  # every place: maps are small here

    torch.testing.assert_close(terms["contrast"].double(), 3 * contrast(a, net(a)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["contrast_identity"].double(), 2 * contrast(b, net(b)), rtol=1e-4, atol=1e-5)
    assert len(heads) == 5  # the image, two halvings, two blocks
    assert "contrast_identity" not in contrastive(identity=0.0).g_loss({"other": a, "image": b}, APART).terms


def test_contrast_moves_the_generator_and_its_heads():
    task, batch = contrastive(), {"other": random_images(0), "image": random_images(1)}
    players = {**task.generator, "d": task.discriminator}
    assert moves(task.d_loss(batch, APART), task, players) == {"adversarial": {"d"}}
    task.discriminator.requires_grad_(False)
    assert moves(task.g_loss(batch, APART), task, players) == {
        "adversarial": {"net"},
        "contrast": {"net", "heads"},
        "contrast_identity": {"net", "heads"},
    }


def test_a_generator_without_maps_cannot_be_contrasted():
    with pytest.raises(UsageError, match="shows none"):
        CUT(**SMALL, loss=Spec(LeastSquares), **FACTS)


@pytest.mark.parametrize("make", [painting, contrastive])
def test_unpaired_grids_show_the_source_and_its_translation_alone(make):
    """The image of the target set that is read with a source has nothing to do with it."""
    task, inputs = make(), {"other": random_images(0), "image": random_images(1)}
    torch.testing.assert_close(task.panel(inputs), side_by_side(inputs["other"], task.sample(inputs)))
