"""The commands about weights of image models: interpolation, and export for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .console import JsonFlag, Output, print_json, say, say_hidden

Layout = Annotated[
    str | None, typer.Option(help="Layout of a weight file. ESRGAN: new, old, middle; MSRResNet: basicsr, mmagic.")
]


def interpolate_weights(
    psnr: Annotated[str, typer.Argument(metavar="PSNR", help="Model at alpha 0: run, weight file, or embedded.")],
    gan: Annotated[str, typer.Argument(metavar="GAN", help="Model at alpha 1, of the same network.")],
    output: Output,
    alpha: Annotated[float, typer.Option(help="Share of the GAN weights, 0 to 1.")] = 0.8,
    layout: Layout = None,
    as_json: JsonFlag = False,
) -> None:
    """Interpolate the weights of two models.

    Between a faithful (PSNR) and a detailed (GAN) model: network interpolation of ESRGAN.
    """
    from ..checkpoints.files import write
    from ..export.interpolate import interpolate
    from ..export.pth import checkpoint_of
    from ..models.cards import NAMES

    say_hidden(NAMES, psnr, gan)
    checkpoint = interpolate(checkpoint_of(psnr), checkpoint_of(gan), alpha)
    write(output, checkpoint, layout=layout)
    if as_json:
        return print_json({"output": str(output), "network": checkpoint.network, "alpha": alpha, **checkpoint.options})
    say(f"{checkpoint.network} at alpha {alpha:g} in {output}")


def export(
    model: Annotated[str, typer.Argument(metavar="RUN", help="Run, model folder, weight file, or embedded.")],
    output: Output,
    layout: Layout = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision: .onnx.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Export a model: weight file, ONNX, Keras or folder.

    A .pth or .safetensors file has the layout that other tools load; an .onnx file (extra: pip install 'ganvas[onnx]')
    runs without PyTorch; a .keras file (extra: 'ganvas[keras]'), of a DCGAN or a fully connected GAN, trains on in
    Keras; a folder has weights, config and card.
    """
    if output.suffix == ".keras":
        return _export_keras(model, output, layout, fp16, as_json)
    if output.suffix == ".onnx":
        return _export_onnx(model, output, layout, fp16, as_json)
    if fp16:
        raise UsageError("--fp16 is for .onnx files.")
    from ..checkpoints.files import write
    from ..export.folder import export_folder
    from ..export.pth import checkpoint_of
    from ..models.cards import NAMES

    say_hidden(NAMES, model)
    if output.suffix:
        checkpoint = checkpoint_of(model)
        write(output, checkpoint, layout=layout)
        result = {"output": str(output), "network": checkpoint.network, **checkpoint.options}
    else:
        result = {"output": str(output), "files": export_folder(model, output)}
    if as_json:
        return print_json(result)
    say(f"{model} in {output}")


def push(
    model: Annotated[str, typer.Argument(metavar="RUN", help="Run or model folder.")],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="Name on the Hub.")],
    license: Annotated[str, typer.Option(help="License of the weights, as the Hub writes it: apache-2.0.")] = "unknown",
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Upload a model to the Hugging Face Hub.

    With its card: license, tags, measures with their protocols, images. Needs the extra: pip install 'ganvas[hub]', and
    a token (hf auth login, or HF_TOKEN). HF_ENDPOINT names another Hub. ganvas.load("USER/NAME") loads it.
    """
    from ..checkpoints.hub import import_hub, require_answer

    import_hub()
    require_answer()
    from ..export import hub

    result = hub.push(model, name, license=license, private=private)
    if as_json:
        return print_json(result)
    say(f"{model} in {result['url']}: {', '.join(result['files'])}")
    if license == "unknown":
        say("The card's license is unknown: give --license.", "yellow")


def _export_onnx(model: str, output: Path, layout: str | None, fp16: bool, as_json: bool) -> None:
    from ..export.onnx import check_packages, export_onnx

    if layout is not None:
        raise UsageError("--layout is for weight files (.pth, .safetensors); an .onnx file has one.")
    check_packages()
    from ..models.cards import NAMES

    say_hidden(NAMES, model)
    result = export_onnx(model, output, fp16=fp16)
    if as_json:
        return print_json(result)
    say(f"{model} in {output}: ONNX, opset {result['opset']}, {result['precision']}, {result['bytes'] / 1e6:.1f} MB")
    for kind in ("inputs", "outputs"):
        tensors = ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in result[kind].items())
        say(f"{kind.capitalize():<8} {tensors}")
    for note in result["notes"]:
        say(note)
    say(f"Largest difference from PyTorch: {result['difference']:.1e} of the range")


def _export_keras(model: str, output: Path, layout: str | None, fp16: bool, as_json: bool) -> None:
    from ..export.keras import export_keras, import_keras

    if layout is not None or fp16:
        raise UsageError(f"{'--fp16' if fp16 else '--layout'} is not for .keras files, which have one form.")
    import_keras()
    from ..models.cards import NAMES

    say_hidden(NAMES, model)
    result = export_keras(model, output)
    if as_json:
        return print_json(result)
    for name, part in (("Generator", result), ("Discriminator", result["discriminator"])):
        if part is not None:
            difference = f"largest difference from PyTorch {part['difference']:.1e} of the range"
            say(f"{name:<14} {part['output']}: {part['parameters']:,} numbers, {difference}")
    for note in result["notes"]:
        say(note)
