"""Fully connected and DCGAN networks as layers of Keras: the one description that export, reading and comparing share.

A `Step` is a layer of Keras by its class and options, with the names of our tensors that are its weights.  Kernels are
(height, width, inputs, outputs) in Keras, those of transposed convolutions (height, width, outputs, inputs).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..errors import UsageError
from ..networks import dcgan, dcgan_variants, keras_dcgan, mlp
from ..networks.heads import AuxiliaryClassifier, Joint, Plain, Projection
from ..networks.label_inputs import JoinImage
from ..networks.strided_conv import DownConv, UpConv
from ..networks.virtual_norm import VirtualBatchNorm2d

Options = dict[str, Any]
WAY_OUT = "ONNX takes every network: ganvas export RUN -o m.onnx"


@dataclass(frozen=True)
class Step:
    """One layer of Keras."""

    kind: str  # Keras' class
    options: Mapping[str, Any]  # of its constructor
    tensors: tuple[str, ...] = ()  # our names of its weights, in Keras' order
    name: str = ""
    inputs: tuple[str, ...] = ()  # names of the steps before it; empty: the one before


@dataclass
class Chain:
    """The steps of a network, from its inputs to its outputs."""

    steps: list[Step] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)  # names of steps; empty: the last
    size: tuple[int, int] = (1, 1)  # of the map, for padding

    def add(self, kind: str, *tensors: str, name: str = "", inputs: tuple[str, ...] = (), **options: Any) -> str:
        """Append a step; returns its name."""
        name = name or f"{kind.lower()}_{len(self.steps)}"
        self.steps.append(Step(kind, options, tensors, name, inputs))
        return name

    def modules(self, layer: nn.Module, path: str) -> None:
        """Append a layer of PyTorch, or the layers of a sequence; raises `UsageError` for one without counterpart."""
        if isinstance(layer, nn.Sequential):
            for key, part in layer.named_children():
                self.modules(part, f"{path}.{key}")
            return
        convert = next((LAYERS[kind] for kind in type(layer).__mro__ if kind in LAYERS), None)
        if convert is None:
            raise UsageError(f"Keras has no counterpart of the layer {type(layer).__name__} ({path}); {WAY_OUT}.")
        convert(self, layer, path)

    @property
    def sequential(self) -> bool:
        """True if every step has one input, the step before."""
        return not any(step.inputs for step in self.steps)


# --- layers ------------------------------------------------------------------------------------------------


def _dense(chain: Chain, layer: Any, path: str) -> None:
    bias = [f"{path}.bias"] * (layer.bias is not None)
    chain.add("Dense", f"{path}.weight", *bias, name=as_name(path), units=layer.out_features, use_bias=bool(bias))


def _conv(kind: str, chain: Chain, layer: Any, path: str, padding: str = "same") -> None:
    bias = [f"{path}.bias"] * (layer.bias is not None)
    shape = {"filters": layer.out_channels, "kernel_size": layer.kernel_size, "strides": layer.stride}
    chain.add(kind, f"{path}.weight", *bias, name=as_name(path), **shape, padding=padding, use_bias=bool(bias))
    (rows, columns), s = chain.size, layer.stride[0]
    chain.size = (rows * s, columns * s) if kind == "Conv2DTranspose" else (-(-rows // s), -(-columns // s))


def _down_conv(chain: Chain, layer: DownConv, path: str) -> None:
    """A 4x4 convolution of stride 2 padded by one: SAME for even sides."""
    rows, columns = chain.size
    if rows % 2 == 0 and columns % 2 == 0:
        return _conv("Conv2D", chain, layer, path)
    chain.add("ZeroPadding2D", padding=((1, 1), (1, 1)))
    _conv("Conv2D", chain, layer, path, "valid")
    chain.size = (rows // 2, columns // 2)


def _batch_norm(chain: Chain, layer: Any, path: str) -> None:
    tensors = [f"{path}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    options = {"epsilon": layer.eps, "momentum": 1 - layer.momentum}
    chain.add("BatchNormalization", *tensors, name=as_name(path), **options)


def _group_norm(chain: Chain, layer: nn.GroupNorm, path: str) -> None:
    tensors = f"{path}.weight", f"{path}.bias"
    chain.add("GroupNormalization", *tensors, name=as_name(path), groups=layer.num_groups, epsilon=layer.eps)


def _maxout(chain: Chain, layer: mlp.Maxout, path: str) -> None:
    _dense(chain, layer.linear, f"{path}.linear")
    chain.add("Reshape", target_shape=(layer.linear.out_features, 1))
    chain.add("MaxPooling1D", pool_size=layer.pieces)
    chain.add("Flatten")


def _frequencies(chain: Chain, layer: mlp.Frequencies, path: str) -> None:
    if layer.factors or layer.gain != 1:
        raise UsageError(f"Keras has no counterpart of sines and cosines of the input ({path}); {WAY_OUT}.")


def _no_virtual(chain: Chain, layer: nn.Module, path: str) -> None:
    raise UsageError(f"Keras has no counterpart of virtual batch norm ({path}); {WAY_OUT}.")


def _activation(name: str) -> Callable[[Chain, Any, str], None]:
    return lambda chain, layer, path: void(chain.add("Activation", activation=name))


def void(value: Any) -> None:
    """Nothing, whatever the value."""


LAYERS: dict[type, Callable[[Chain, Any, str], None]] = {
    nn.Linear: _dense,
    DownConv: _down_conv,
    UpConv: lambda *args: _conv("Conv2DTranspose", *args),
    keras_dcgan.SameConv: lambda *args: _conv("Conv2D", *args),
    keras_dcgan.SameUpConv: lambda *args: _conv("Conv2DTranspose", *args),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    VirtualBatchNorm2d: _no_virtual,
    nn.GroupNorm: _group_norm,
    nn.LeakyReLU: lambda chain, layer, path: void(chain.add("LeakyReLU", negative_slope=layer.negative_slope)),
    nn.ReLU: _activation("relu"),
    nn.ELU: _activation("elu"),
    nn.Tanh: _activation("tanh"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.Dropout: lambda chain, layer, path: void(chain.add("Dropout", rate=layer.p)),
    nn.Flatten: lambda chain, layer, path: None,  # vectors are flat already
    nn.Unflatten: lambda chain, layer, path: None,  # of a dense layer, to a map of one pixel
    mlp.Maxout: _maxout,
    mlp.Frequencies: _frequencies,
}


def as_name(path: str) -> str:
    """The name of a layer in Keras by that in PyTorch: without dots, which TensorFlow's scopes refuse."""
    return path.replace(".", "_")


# --- networks ----------------------------------------------------------------------------------------------


def chain_of(network: nn.Module, noise: str = "z") -> Chain:
    """The layers of a generator or discriminator; `noise` is the name of the generator's input.

    Raises `UsageError` for another network, and for one with a part that Keras lacks.
    """
    build = NETWORKS.get(type(network))
    if build is None:
        raise UsageError(f"Fully connected networks and DCGANs are exported to Keras, this is another one; {WAY_OUT}.")
    return build(network, noise) if build in GENERATORS else build(network)


def _noise(network: Any, name: str) -> Chain:
    """The inputs of a generator: noise, and with labels the label beside it."""
    chain, join = Chain(), network.join
    chain.add("InputLayer", name=name, shape=(network.latent,))
    if join.embed is not None:
        joined = _label(chain, join, "join.embed")
        chain.add("Concatenate", name="join", inputs=(name, joined))
    return chain


def _label(chain: Chain, owner: Any, path: str, *, name: str = "label") -> str:
    """The embedding of a label; an input of that name is added where there is none yet."""
    embed = owner.embed
    classes = isinstance(embed, nn.Embedding)
    if not any(step.name == name for step in chain.steps):
        shape = () if classes else (embed.in_features,)
        chain.add("InputLayer", name=name, shape=shape, dtype="int32" if classes else "float32")
    if not classes:
        options = {"units": embed.out_features, "use_bias": True}
        return chain.add("Dense", f"{path}.weight", f"{path}.bias", name=as_name(path), inputs=(name,), **options)
    sizes = {"input_dim": embed.num_embeddings, "output_dim": embed.embedding_dim}
    return chain.add("Embedding", f"{path}.weight", name=as_name(path), inputs=(name,), **sizes)


def _convolutional_generator(network: Any, noise: str) -> Chain:
    """DCGAN's, its variants and that of Keras' lessons."""
    chain = _noise(network, noise)
    if getattr(network, "hidden", None) is not None:
        chain.modules(network.hidden, "hidden")
    chain.modules(network.project, "project")
    project = network.project if isinstance(network.project, nn.Linear) else network.project[0]
    rows, columns = chain.size = network.base
    chain.add("Reshape", target_shape=(rows, columns, project.out_features // (rows * columns)))
    chain.modules(network.body, "body")
    chain.add("Activation", activation="tanh")
    over = [a - b for a, b in zip(chain.size, network.resolution)]
    if any(over):
        chain.add("Cropping2D", cropping=tuple((n // 2, n - n // 2) for n in over))
    return chain


def _dense_generator(network: mlp.Generator, noise: str) -> Chain:
    chain = _noise(network, noise)
    chain.modules(network.body, "body")
    chain.add("Activation", activation="tanh")
    channels, height, width = network.shape
    if channels == 1:
        chain.add("Reshape", target_shape=(height, width, 1))
    else:
        chain.add("Reshape", target_shape=(channels, height, width))
        chain.add("Permute", dims=(2, 3, 1))
    return chain


def _image(network: Any) -> Chain:
    """The input of a discriminator: an image, and with labels one channel more."""
    height, width = network.resolution
    join: JoinImage = network.join
    chain = Chain(size=(height, width))
    chain.add("InputLayer", name="image", shape=(height, width, network.inputs - join.channels))
    if join.embed is not None:
        _label(chain, join, "join.embed")
        chain.add("Reshape", name="join_map", target_shape=(height, width, 1))
        chain.add("Concatenate", name="join", inputs=("image", "join_map"))
    return chain


def _convolutional_discriminator(network: Any) -> Chain:
    chain = _image(network)
    if getattr(network, "unit_range", False):
        chain.add("Rescaling", scale=0.5, offset=0.5)
    chain.modules(network.body, "body")
    features = chain.add("Flatten", name="features")
    if getattr(network, "hidden", None) is not None:
        chain.modules(network.hidden, "hidden")
        features = chain.steps[-1].name
    return _with_head(chain, network.head, features)


def _dense_discriminator(network: mlp.Dense) -> Chain:
    chain = _image(network)
    if network.inputs > 1:
        chain.add("Permute", dims=(3, 1, 2))
    chain.add("Flatten")
    chain.modules(network.body, "body")
    return _with_head(chain, network.head, chain.steps[-1].name)


def _with_head(chain: Chain, head: Any, features: str) -> Chain:
    build = HEADS.get(type(head))
    if build is None:
        raise UsageError(f"Keras has no counterpart of the head {type(head).__name__}; {WAY_OUT}.")
    build(chain, head, features)
    return chain


def _score(chain: Chain, head: Any, features: str) -> None:
    _dense(chain, head.score, "head.score")


def _score_and_classes(chain: Chain, head: AuxiliaryClassifier, features: str) -> None:
    _dense(chain, head.score, "head.score")
    tensors, options = ("head.classify.weight", "head.classify.bias"), {"units": head.classify.out_features}
    name = chain.add("Dense", *tensors, name="head_classify", inputs=(features,), use_bias=True, **options)
    chain.outputs = ["head_score", name]


def _projected(chain: Chain, head: Projection, features: str) -> None:
    _dense(chain, head.score, "head.score")
    embedded = _label(chain, head, "head.embed")
    inner = chain.add("Dot", name="head_inner", inputs=(features, embedded), axes=1)
    chain.add("Add", name="head_sum", inputs=("head_score", inner))


def _joint(chain: Chain, head: Joint, features: str) -> None:
    chain.add("Concatenate", name="head_join", inputs=(features, _label(chain, head, "head.embed")))
    chain.modules(head.hidden, "head.hidden")
    _dense(chain, head.score, "head.score")


HEADS: dict[type, Callable[[Chain, Any, str], None]] = {
    Plain: _score,
    AuxiliaryClassifier: _score_and_classes,
    Projection: _projected,
    Joint: _joint,
}
GENERATORS = (_convolutional_generator, _dense_generator)
NETWORKS: dict[type, Callable[..., Chain]] = {
    dcgan.Generator: _convolutional_generator,
    dcgan_variants.Generator: _convolutional_generator,
    keras_dcgan.Generator: _convolutional_generator,
    mlp.Generator: _dense_generator,
    dcgan.Discriminator: _convolutional_discriminator,
    dcgan_variants.Discriminator: _convolutional_discriminator,
    keras_dcgan.Discriminator: _convolutional_discriminator,
    mlp.Discriminator: _dense_discriminator,
    mlp.LeakyDiscriminator: _dense_discriminator,
}


# --- weights -----------------------------------------------------------------------------------------------


def tensor_of(network: nn.Module, name: str) -> Tensor:
    """A tensor of a network by its name; of a weight with spectral norm, the one that it computes with."""
    owner, _, attribute = name.rpartition(".")
    value: Tensor = getattr(network.get_submodule(owner), attribute)
    return value.detach()


def to_keras(value: Tensor, kind: str) -> Tensor:
    """A tensor of ours in the layout of a layer of Keras."""
    if value.ndim == 4:
        return value.permute(2, 3, 1, 0)
    return value.t() if value.ndim == 2 and kind == "Dense" else value


def from_keras(value: Tensor, kind: str) -> Tensor:
    """A weight of a layer of Keras in our layout."""
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()
    return value.t().contiguous() if value.ndim == 2 and kind == "Dense" else value


def weighted(chain: Chain, network: nn.Module) -> Iterator[tuple[Step, list[Tensor]]]:
    """Every step with weights, and these in the layout of Keras."""
    for step in chain.steps:
        if step.tensors:
            yield step, [to_keras(tensor_of(network, name), step.kind).contiguous() for name in step.tensors]
