"""Export a fully connected GAN or a DCGAN to Keras: both players, compared with PyTorch before they are written."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError, UserError
from ..files import atomic_write
from ..models.keras_networks import discriminator_beside
from ..models.keras_steps import Chain, Step, chain_of, weighted
from ..models.model import Model, load
from ..run import Run
from ..tasks.base import Adversary

TOLERANCE = 1e-4  # of the range of the output
NOISE = {"normal": "z", "uniform": "uniform_z"}  # names of the generator's input by its distribution
EXAMPLES = 3


def import_keras() -> Any:
    """Keras, on the backend that the process has, else PyTorch; raises `UserError` where it is not installed."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except Exception as problem:  # a backend that is missing or broken raises errors of many classes
        raise UserError(f'Keras is needed: pip install "ganvas[keras]" ({problem}).') from None
    if int(keras.__version__.partition(".")[0]) < 3:
        raise UserError(f'Keras 3 is needed, and this is {keras.__version__}: pip install "ganvas[keras]".')
    return keras


def export_keras(model: Path | str, output: Path) -> dict[str, Any]:
    """Write the generator of a model and the discriminator of its run as `.keras`; returns what `ganvas export` prints.

    The discriminator goes beside: `m.discriminator.keras`, or `discriminator.keras` beside `generator.keras`.  Raises
    `UserError` without the extra, `UsageError` for a network with a part that Keras lacks.
    """
    import_keras()
    loaded = load(model, device="cpu", precision="fp32")
    if not loaded.task.draws_images or loaded.task.translates:
        raise UsageError(
            f"{model} does not generate from noise; fully connected GANs and DCGANs are exported to Keras."
        )
    result = write_generator(loaded, output)
    run, result["discriminator"] = Run(Path(model)), None
    if run.exists() and run.states():
        from ..evaluation.discriminator import load_task

        adversary = load_task(str(model)).discriminator
        if isinstance(adversary, Adversary):
            try:
                result["discriminator"] = write_discriminator(adversary.net, discriminator_beside(output))
            except UsageError as problem:
                result["notes"].append(f"The discriminator is not exported. {problem}")
    return result


def write_generator(model: Model, output: Path) -> dict[str, Any]:
    """Write the generator of a loaded `Model` as `.keras`; returns its facts."""
    task: Any = model.task
    network: nn.Module = task.generator.eval()
    given = {key: value for key, value in task.inputs(range(EXAMPLES)).items() if isinstance(value, Tensor)}
    with torch.no_grad():
        expected = network(*given.values())
    name = NOISE[getattr(task, "prior", "normal")]
    return _write(network, chain_of(network, name), [*given.values()], [expected], output, "generator", span=2.0)


def write_discriminator(network: nn.Module, output: Path) -> dict[str, Any]:
    """Write a discriminator as `.keras`: images (N, H, W, C) in [-1, 1] to logits; returns its facts."""
    chain, source = chain_of(network.eval()), torch.Generator().manual_seed(0)
    inputs = [_example(step, source) for step in chain.steps if step.kind == "InputLayer"]
    with torch.no_grad():
        scores = network(inputs[0].permute(0, 3, 1, 2), *inputs[1:])
    expected = [scores.logits] + ([scores.label_logits] if chain.outputs else [])
    return _write(network, chain, inputs, expected, output, "discriminator")


def _example(step: Step, source: torch.Generator) -> Tensor:
    """Values for an input of a discriminator: images in [-1, 1], or labels."""
    shape = (EXAMPLES, *step.options["shape"])
    if step.options.get("dtype") == "int32":
        return torch.arange(EXAMPLES) % 2
    return torch.rand(shape, generator=source) * 2 - 1


def _write(
    network: nn.Module,
    chain: Chain,
    inputs: list[Tensor],
    expected: list[Tensor],
    output: Path,
    name: str,
    span: float | None = None,
) -> dict[str, Any]:
    """Build the network in Keras, compare the outputs and write the file."""
    keras = import_keras()
    built = build(keras, chain, name)
    for step, weights in weighted(chain, network):
        built.get_layer(step.name).set_weights([w.numpy() for w in weights])
    given = [x.numpy() for x in inputs]
    results = built(given[0] if len(given) == 1 else given, training=False)
    difference = 0.0
    for result, truth in zip(results if isinstance(results, (list, tuple)) else [results], expected):
        values = torch.from_numpy(keras.ops.convert_to_numpy(result).copy())
        values = values.permute(0, 3, 1, 2) if values.ndim == 4 else values
        width = span or float(truth.max() - truth.min()) or 1.0
        difference = max(difference, (values - truth).abs().max().item() / width)
    if not difference <= TOLERANCE:
        raise UserError(f"The {name} is not the same in Keras: it differs by {difference:.1e} of the range.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "m.keras"  # Keras chooses the format by the name
        built.save(file)
        with atomic_write(output) as part:
            part.write_bytes(file.read_bytes())
    shapes = {tensor.name: ["N", *tensor.shape[1:]] for tensor in built.inputs}
    facts = {"output": str(output), "inputs": shapes, "outputs": [["N", *tensor.shape[1:]] for tensor in built.outputs]}
    return {**facts, "parameters": built.count_params(), "difference": difference, "notes": []}


def build(keras: Any, chain: Chain, name: str) -> Any:
    """The layers of a chain as a model of Keras: Sequential, or Functional where a label comes in."""
    if chain.sequential:
        return keras.Sequential([_layer(keras, step) for step in chain.steps], name=name)
    nodes: dict[str, Any] = {}
    previous: Any = None
    for step in chain.steps:
        if step.kind == "InputLayer":
            nodes[step.name] = previous = keras.Input(name=step.name, **step.options)
            continue
        given = [nodes[source] for source in step.inputs] or [previous]
        nodes[step.name] = previous = _layer(keras, step)(given[0] if len(given) == 1 else given)
    inputs = [nodes[step.name] for step in chain.steps if step.kind == "InputLayer"]
    outputs = [nodes[output] for output in chain.outputs] or [previous]
    return keras.Model(*(ends[0] if len(ends) == 1 else ends for ends in (inputs, outputs)), name=name)


def _layer(keras: Any, step: Step) -> Any:
    return getattr(keras.layers, step.kind)(name=step.name, **step.options)
