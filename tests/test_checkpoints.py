"""Files of other projects: every layout recognised, hostile ones refused, ours written back."""

from __future__ import annotations

import collections
import json
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

import published
from ganvas import catalog
from ganvas.checkpoints import files, layouts
from ganvas.errors import UsageError, UserError
from ganvas.export.pth import as_checkpoint, save_network
from ganvas.models import recognise as checkpoints
from ganvas.models.foreign import load_network
from ganvas.networks.compact import Compact
from ganvas.networks.rrdb import RRDBNet


def esrgan(layout, **options):
    """A file's tensors, the published computation with them, and the scale."""
    unshuffle = options.pop("unshuffle", 1)
    ups = options.get("ups", 2)
    state = published.tensors(published.esrgan_shapes(layout, inputs=3 * unshuffle**2, **options))
    return state, lambda x: published.esrgan(state, x, layout, ups=ups, unshuffle=unshuffle), 2**ups // unshuffle


def compact(scale=4, activation="prelu", **options):
    state = published.tensors(published.compact_shapes(scale=scale, prelu=activation == "prelu", **options))
    return state, lambda x: published.compact(state, x, scale=scale, activation=activation), scale


def msrresnet(layout, scale):
    state = published.tensors(published.msrresnet_shapes(layout, scale=scale))
    return state, lambda x: published.msrresnet(state, x, layout, scale=scale), scale


def span(scale, norm):
    state = published.tensors(published.span_shapes(scale=scale), scale=0.05 if norm else 0.15)
    state = state if norm else {"no_norm": torch.zeros(1), **state}
    return state, lambda x: published.span(state, x, scale=scale, norm=norm), scale


def realplksr(scale, **options):
    state = published.realplksr_tensors(scale=scale, **options)
    known = {k: v for k, v in options.items() if k in ("blocks", "attention")}
    return state, lambda x: published.realplksr(state, x, scale=scale, **known), scale


FILES = {
    "ESRGAN old": lambda: esrgan("old"),
    "ESRGAN old x1": lambda: esrgan("old", ups=0),
    "ESRGAN old x2": lambda: esrgan("old", ups=1),
    "ESRGAN old x8": lambda: esrgan("old", ups=3),
    "ESRGAN middle": lambda: esrgan("middle"),
    "ESRGAN middle x2": lambda: esrgan("middle", ups=1),
    "Real-ESRGAN x4": lambda: esrgan("new"),
    "Real-ESRGAN x2": lambda: esrgan("new", unshuffle=2),
    "Real-ESRGAN x1": lambda: esrgan("new", unshuffle=4),
    "another width and growth": lambda: esrgan("new", width=6, growth=5),
    "Compact": lambda: compact(),
    "Compact x1": lambda: compact(1),
    "Compact x2 grey": lambda: compact(2, channels=1),
    "Compact x3": lambda: compact(3),
    **{f"SPAN x{s}{' with its mean' if n else ''}": lambda s=s, n=n: span(s, n)
       for s, n in ((1, False), (2, False), (4, False), (4, True))},
    "RealPLKSR x4": lambda: realplksr(4),
    "RealPLKSR x1": lambda: realplksr(1, blocks=1),
    "RealPLKSR x2 without attention": lambda: realplksr(2, attention=False, kernel=7, part=4),
    **{f"MSRResNet {layout} x{s}": lambda layout=layout, s=s: msrresnet(layout, s)
       for layout in published.MSRRESNET for s in (2, 3, 4)},
}  # fmt: skip


def same(network, expected, channels):
    x = torch.rand(2, channels, 8, 12, generator=torch.Generator().manual_seed(5))
    wanted = expected(x)
    torch.testing.assert_close(network(2 * x - 1), 2 * wanted - 1, rtol=1e-4, atol=1e-4)
    assert network.scale == wanted.shape[-1] // x.shape[-1]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", FILES)
def test_every_layout_computes_as_published(name, suffix, tmp_path):
    state, expected, scale = FILES[name]()
    file = tmp_path / f"some{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    network = load_network(file, scale=scale)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    same(network, expected, 1 if "grey" in name else 3)


def test_six_blocks_as_in_the_anime_model(tmp_path):
    shapes = published.esrgan_shapes("new", width=64, growth=32, blocks=6)
    torch.save(
        {"params_ema": {k: torch.zeros(v.shape) for k, v in published.tensors(shapes).items()}}, tmp_path / "a.pth"
    )
    found = checkpoints.read(tmp_path / "a.pth")
    expected = {"channels": 3, "scale": 4, "width": 64, "growth": 32, "blocks": 6, "unshuffle": 1}
    assert (found.network, found.options) == ("rrdb", expected)
    assert sum(v.numel() for v in found.state.values()) == 4_467_779


WRAPPED = {
    "params": lambda s, t: {"params": s},
    "params_ema before params": lambda s, t: {"params": t, "params_ema": s},
    "params-ema": lambda s, t: {"params-ema": s, "iter": 5},
    "state_dict": lambda s, t: {"state_dict": s, "meta": {"epoch": 3}},
    "model_state_dict": lambda s, t: {"epoch": 7, "model_state_dict": s},
    "a single other name": lambda s, t: {"weights_of_mine": s},
    "two deep": lambda s, t: {"model": {"params": s}},
    "module.": lambda s, t: {f"module.{k}": v for k, v in s.items()},
    "module. and compile": lambda s, t: {"params": {f"module._orig_mod.{k}": v for k, v in s.items()}},
    "netG.": lambda s, t: {**{f"netG.{k}": v for k, v in s.items()}, "netD.a": torch.ones(2)},
    "generator. beside others": lambda s, t: {
        "state_dict": {
            **{f"generator.{k}": v for k, v in s.items()},
            "discriminator.conv.weight": torch.ones(3),
            "perceptual_loss.vgg.mean": torch.ones(3),
        }
    },
    "generator_ema. before generator.": lambda s, t: {
        "state_dict": {f"{p}.{k}": v for p, d in (("generator", t), ("generator_ema", s)) for k, v in d.items()}
    },
    "an unknown prefix": lambda s, t: {f"net.sr.{k}": v for k, v in s.items()},
    "model. before the old layout's own": lambda s, t: {f"model.{k}": v for k, v in s.items()},
    "ordered": lambda s, t: collections.OrderedDict(s),
    "parameters": lambda s, t: {k: torch.nn.Parameter(v) for k, v in s.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("name", ["ESRGAN old", "Real-ESRGAN x2", "MSRResNet mmagic x4"])
def test_every_wrapper_is_peeled(wrapper, name, tmp_path):
    state, expected, _ = FILES[name]()
    other = {k: torch.zeros_like(v) for k, v in state.items()}
    torch.save(WRAPPED[wrapper](state, other), tmp_path / "some.pth")
    same(load_network(tmp_path / "some.pth"), expected, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype, tmp_path):
    state, _, _ = FILES["Compact"]()
    torch.save({k: v.to(dtype) for k, v in state.items()}, tmp_path / "half.pth")
    for name, value in checkpoints.read(tmp_path / "half.pth").state.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name].to(dtype).float())


def test_files_of_the_time_before_archives(tmp_path):
    state, expected, _ = FILES["ESRGAN old"]()
    torch.save(state, tmp_path / "2018.pth", _use_new_zipfile_serialization=False)
    same(load_network(tmp_path / "2018.pth"), expected, 3)


# --- what shapes do not tell ------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leakyrelu"])
def test_a_compact_without_slopes(activation, tmp_path):
    state, expected, _ = compact(2, activation)
    torch.save({"params": state}, tmp_path / "c.pth")
    found = checkpoints.read(tmp_path / "c.pth")
    assert found.unsure == {"activation"}
    network = load_network(tmp_path / "c.pth", activation=activation)
    assert network.activation == activation
    same(network, expected, 3)


@pytest.mark.parametrize("activation", ["relu", "leakyrelu"])
def test_a_trained_compact_tells_its_rectifier(activation, tmp_path):
    """One whose residue vanishes on its own rectifier's answer: what one adds the other takes away."""
    torch.manual_seed(0)
    network = Compact(scale=2, width=16, convolutions=2, activation=activation)
    last, x = network.body[-1], torch.rand(64, 3, 8, 8) * 2 - 1
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        (network(x) - x.repeat_interleave(2, 2).repeat_interleave(2, 3)).square().mean().backward()
        optimizer.step()
    assert last.weight.abs().max() > 0.01
    torch.save({"params": network.state_dict()}, tmp_path / "c.pth")
    assert load_network(tmp_path / "c.pth").activation == activation


def test_three_times_in_one_step_is_said(tmp_path):
    shapes = published.esrgan_shapes("old", ups=1)
    state = published.tensors(shapes)
    torch.save(state, tmp_path / "x3.pth")
    assert load_network(tmp_path / "x3.pth").scale == 2
    network = load_network(tmp_path / "x3.pth", scale=3)
    same(network, lambda x: published.esrgan(state, x, "old", ups=1, step=3), 3)


def test_what_a_person_says_is_checked(tmp_path):
    torch.save(FILES["Compact"]()[0], tmp_path / "c.pth")
    for options, said in (
        ({"scale": 2}, "is a network for x4, not for x2"),
        ({"scale": 5}, "is one of 1, 2, 3, 4, 8, not 5"),
        ({"activation": "leakyrel"}, "Did you mean 'leakyrelu'"),
    ):
        with pytest.raises(UsageError, match=said):
            checkpoints.read(tmp_path / "c.pth", **options)


# --- what does not fit ------------------------------------------------------------------------------------


def refused(content, tmp_path, **options):
    file = tmp_path / "strange.pth"
    torch.save(content, file)
    with pytest.raises(UserError) as said:
        checkpoints.read(file, **options)
    assert str(said.value).startswith(str(file))
    assert "\n" not in str(said.value)
    return str(said.value)


def test_the_nearest_architecture_and_what_differs_is_named(tmp_path):
    state = FILES["Real-ESRGAN x4"]()[0]
    del state["body.1.rdb2.conv3.bias"]
    state["conv_extra.weight"] = torch.ones(1)
    state["conv_hr.weight"] = torch.ones(8, 9, 3, 3)
    said = refused(state, tmp_path)
    assert "The nearest is ESRGAN in Real-ESRGAN's layout (channels 3, scale 4, width 8, growth 4, blocks 2" in said
    assert "it lacks body.1.rdb2.conv3.bias" in said
    assert "it also has conv_extra.weight" in said
    assert "conv_hr.weight is [8, 9, 3, 3], not [8, 8, 3, 3]" in said


@pytest.mark.parametrize("name", FILES)
def test_every_layout_is_its_own_nearest(name, tmp_path):
    state = dict(list(FILES[name]()[0].items())[:-1])
    title = {"rrdb": "ESRGAN", "compact": "Compact", "msrresnet": "MSRResNet", "span": "SPAN", "realplksr": "RealPLKSR"}
    torch.save(FILES[name]()[0], tmp_path / "whole.pth")
    network = checkpoints.read(tmp_path / "whole.pth").network
    assert f"The nearest is {title[network]}" in refused(state, tmp_path)


def test_esrgan_plus_is_not_taken_for_esrgan(tmp_path):
    state = {**FILES["ESRGAN old"]()[0], "model.1.sub.0.RDB1.conv1x1.weight": torch.ones(4, 8, 1, 1)}
    assert "it also has model.1.sub.0.RDB1.conv1x1.weight" in refused(state, tmp_path)


def test_networks_that_judge_are_named(tmp_path):
    judge = {"conv0.weight": torch.ones(4, 3, 3, 3), "conv1.weight_orig": torch.ones(8, 4, 4, 4)}
    assert "U-Net discriminator, which scores images" in refused({"params": judge}, tmp_path)


def test_other_tensors_are_of_no_network_known(tmp_path):
    said = refused({"encoder.a": torch.ones(2), "decoder.b": torch.ones(3)}, tmp_path)
    assert "its tensors (decoder.b, encoder.a) are those of no network known here" in said
    assert "MSRResNet" in said
    for nothing in ({}, {"a": 5}, [torch.ones(2)], torch.ones(2), {"params": {}}):
        assert "holds no named tensors" in refused(nothing, tmp_path)


def test_other_channels_in_than_out(tmp_path):
    state = published.tensors(published.esrgan_shapes("new", inputs=5))
    assert "conv_first.weight is [8, 5, 3, 3], not [8, 3, 3, 3]" in refused(state, tmp_path)


# --- hostile files ----------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return (print, ("code of a weight file ran",))


def test_code_is_not_run(tmp_path, capsys):
    for protocol in (2, 5):
        (tmp_path / f"bare{protocol}.pth").write_bytes(pickle.dumps({"a": Evil()}, protocol))
    torch.save({"params": Evil()}, tmp_path / "zip.pth")
    torch.save({"params": Evil()}, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    named = r"holds more than weights \(print\); it is not opened, because that could run code\.$"
    for name in ("bare2", "bare5", "zip", "legacy"):
        with pytest.raises(UserError, match=named):
            checkpoints.read(tmp_path / f"{name}.pth")
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_cut_files_are_a_sentence(suffix, tmp_path):
    state, file = FILES["Compact"]()[0], tmp_path / f"cut{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    whole = file.read_bytes()
    for part in (0, 1, 8, 15, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:part])
        with pytest.raises(UserError, match="cut") as said:
            checkpoints.read(file)
        assert "\n" not in str(said.value)


def test_what_is_no_weight_file(tmp_path):
    with pytest.raises(UsageError, match=r"none.pth does not exist; give a weight file"):
        checkpoints.read(tmp_path / "none.pth")
    with pytest.raises(UsageError, match="is a folder"):
        checkpoints.read(tmp_path)
    (tmp_path / "text.pth").write_text("<!DOCTYPE html> not found")
    with pytest.raises(UserError, match="is neither a PyTorch file nor safetensors"):
        checkpoints.read(tmp_path / "text.pth")


def test_shapes_larger_than_the_file_are_refused(tmp_path):
    """One number repeated over a billion places, by a stride of zero."""
    state = FILES["Compact"]()[0]
    state["body.0.weight"] = torch.zeros(1, 1, 1, 1).expand(30_000, 30_000, 3, 3)
    assert "it is not to be trusted" in refused(state, tmp_path)


def test_numbers_of_blocks_are_not_believed(tmp_path):
    torch.save(
        {"body.99999.rdb1.conv1.weight": torch.ones(1), "body.0.weight": torch.ones(9, 3, 3, 3)}, tmp_path / "a.pth"
    )
    with pytest.raises(UserError, match="not those of a network known here"):
        checkpoints.read(tmp_path / "a.pth")
    large = {f"body.{k}.weight": torch.ones(1) for k in (0, 98765)}
    wanted = [len(checkpoints.compare(layout, large, {}).expected) for layout in layouts.LAYOUTS]
    assert max(wanted) < 1500
    deep = {f"body.{k}.rdb1.conv1.weight": torch.ones(1) for k in range(checkpoints.DEEPEST + 1)}
    assert not checkpoints.compare(layouts.LAYOUTS[0], deep, {}).expected  # not built: that would take minutes


def test_headers_of_safetensors_are_not_believed(tmp_path):
    file = tmp_path / "h.safetensors"
    for header in (
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
    ):
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
        with pytest.raises(UserError, match="damaged or cut off"):
            checkpoints.read(file)
    file.write_bytes(struct.pack("<Q", 1 << 60) + b"{" + bytes(20))
    with pytest.raises(UserError, match="damaged or cut off"):
        checkpoints.read(file)


def test_compressed_archives_are_refused(tmp_path):
    torch.save(FILES["Compact"]()[0], tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as old,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    with pytest.raises(UserError, match="is a compressed archive"):
        checkpoints.read(tmp_path / "b.pth")


@pytest.mark.parametrize(
    "value", [torch.ones(8, 3, 3, 3, dtype=torch.int8), torch.ones(8, 3, 3, 3, dtype=torch.complex64)]
)
def test_wrong_kinds_of_number(value, tmp_path):
    state = {**FILES["Compact"]()[0], "body.0.weight": value}
    assert f"body.0.weight holds {str(value.dtype)[6:]}" in refused(state, tmp_path)


def test_sparse_tensors_and_numbers_that_are_none(tmp_path):
    state = FILES["Compact"]()[0]
    sparse = {**state, "body.0.bias": state["body.0.bias"].to_sparse()}
    assert "sparse" in refused(sparse, tmp_path) or "damaged" in refused(sparse, tmp_path)
    for number in (float("nan"), float("inf")):
        broken = {**state, "body.0.bias": torch.full((8,), number)}
        assert "body.0.bias holds numbers that are not finite" in refused(broken, tmp_path)


def test_a_file_that_is_too_large_is_not_opened(tmp_path, monkeypatch):
    torch.save(FILES["Compact"]()[0], tmp_path / "a.pth")
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="has 0.0 GB"):
        checkpoints.read(tmp_path / "a.pth")


# --- the way back -----------------------------------------------------------------------------------------


def ours(name):
    torch.manual_seed(3)
    small = {"width": 8, "blocks": 2, "growth": 4, "convolutions": 3}
    kind = catalog.NETWORKS[name.split()[0]]
    known = {k: v for k, v in small.items() if k in kind.__init__.__kwdefaults__}
    options = dict(part.split("=") for part in name.split()[1:])
    return kind(**known, **{k: int(v) if v.isdecimal() else v for k, v in options.items()}).eval()


WRITTEN = [
    *(f"rrdb scale={s}" for s in (1, 2, 3, 4, 8)),
    "rrdb scale=2 unshuffle=1",
    *(f"compact scale={s}" for s in (1, 2, 3, 4)),
    *(f"compact activation={a}" for a in ("relu", "leakyrelu")),
    *(f"{name} scale={s}" for name in ("span", "realplksr") for s in (1, 2, 4)),
    *(f"{name} scale={s}" for name in ("msrresnet", "srresnet") for s in (1, 2, 3, 4, 8)),
]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", WRITTEN)
def test_what_we_write_is_read_again(name, suffix, tmp_path):
    network, file = ours(name), tmp_path / f"out{suffix}"
    save_network(network, file)
    again = load_network(file)
    assert type(again) is type(network)
    x = torch.rand(1, 3, 8, 12) * 2 - 1
    torch.testing.assert_close(again(x), network(x), rtol=0, atol=0)
    assert [f.name for f in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("layout", ["old", "middle", "new"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_what_we_write_is_what_others_compute(layout, scale, tmp_path):
    network = ours(f"rrdb scale={scale}")
    for p in network.parameters():
        p.data = torch.randn(p.shape) * 0.15
    save_network(network, tmp_path / "out.pth", layout=layout)
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    state = content["params"] if layout == "new" else content
    ups = {1: 2, 2: 2, 4: 2, 8: 3}[scale]
    shapes = published.esrgan_shapes(layout, inputs=3 * network.multiple**2, ups=ups)
    assert state.keys() == published.tensors(shapes).keys()
    same(network, lambda x: published.esrgan(state, x, layout, ups=ups, unshuffle=network.multiple), 3)


def test_mmagics_names_are_written_too(tmp_path):
    network = ours("msrresnet scale=4")
    save_network(network, tmp_path / "out.pth", layout="mmagic")
    state = torch.load(tmp_path / "out.pth", weights_only=True)["params"]
    same(network, lambda x: published.msrresnet(state, x, "mmagic"), 3)


def test_what_cannot_be_written_is_a_sentence(tmp_path):
    rrdb = RRDBNet(scale=3, width=4, growth=2, blocks=1)
    for network, file, layout, said in (
        (rrdb, "a.onnx", None, r"written as .pth or .safetensors, not .onnx"),
        (rrdb, "a.pth", "old", "cannot say x3"),
        (rrdb, "a.pth", "newer", r"no layout 'newer'. Did you mean 'new'\? It has: new, old, middle"),
        (torch.nn.Linear(2, 2), "a.pth", None, "No other tool has a layout for the network 'Linear'"),
    ):
        with pytest.raises(UsageError, match=said):
            save_network(network, tmp_path / file, layout=layout)
    with pytest.raises(UserError, match="could not be written"):
        save_network(rrdb, tmp_path / "nowhere" / "a.pth")
    assert not list(tmp_path.iterdir())


def test_the_published_files_are_described_whole():
    """Real-ESRGAN's options from its shapes alone, and the same tensors from its options."""
    with torch.device("meta"):
        network = RRDBNet()
    found = as_checkpoint(RRDBNet(width=8, growth=4, blocks=1))
    assert found.options == {"channels": 3, "scale": 4, "width": 8, "growth": 4, "blocks": 1, "unshuffle": 1}
    layout = layouts.LAYOUTS[0]
    assert checkpoints.compare(layout, network.state_dict(), {}).exact
