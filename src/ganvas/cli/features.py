"""The commands about what a network sees in images: `features`, `cluster`, `probe`."""

from typing import Annotated

import typer

from .console import Device, JsonFlag, Output, print_json, print_table, say
from .machines import On, Workers, find_workers

Data = Annotated[str, typer.Argument(metavar="DATA", help="Images, as --data of `ganvas train` takes them.")]
Of = Annotated[str, typer.Option("--of", help="A run, or pocket, inception, vgg16 or vgg19.")]
Resolution = Annotated[str | None, typer.Option(help="Size in pixels, for images of mixed sizes.")]


def features(
    data: Data,
    output: Output,
    of: Of = "pocket",
    layers: Annotated[str, typer.Option(help="Stages of a run's discriminator: all or last.")] = "all",
    resolution: Resolution = None,
    on: On = "local",
    workers: Workers = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Write what a discriminator sees in images.

    The .npz holds features (N, D), labels and the protocol.
    """
    from ..errors import UsageError
    from ..evaluation.export_features import export_features

    if layers not in ("all", "last"):
        raise UsageError(f"--layers is all or last, not {layers!r}.")
    options = {"of": of, "last": layers == "last", "resolution": resolution, "device": device}
    if there := find_workers(on, workers, device):
        from ..sweeps.parts import export_features_there

        result = export_features_there(data, output, workers=there, **options)
    else:
        result = export_features(data, output, **options)  # type: ignore[arg-type]
    if as_json:
        return print_json(result)
    numbers = f"{result['width']:,} numbers each ({result['features']})"
    say(f"Features of {result['images']:,} images, {numbers}, in {result['output']}")


def cluster(
    data: Data,
    output: Output,
    of: Of = "pocket",
    k: Annotated[int, typer.Option(help="Clusters; hdbscan: smallest images of one.")] = 10,
    method: Annotated[str, typer.Option(help="kmeans or hdbscan.")] = "kmeans",
    resolution: Resolution = None,
    seed: Annotated[int, typer.Option(help="Seed of the starts of k-means.")] = 0,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Sort images into clusters by their features.

    The folder gets a sheet of images, a table, and links to the files of each cluster.
    """
    from ..evaluation.cluster import cluster as sort

    options = {"of": of, "k": k, "method": method, "resolution": resolution, "seed": seed, "device": device}
    result = sort(data, output, **options)  # type: ignore[arg-type]
    if as_json:
        return print_json(result)
    rows = [[name, f"{result[name]:.4f}"] for name in ("purity", "nmi", "ari") if name in result]
    if rows:
        print_table("", ["measure", "value"], rows)
    noise = f", {result['noise']:,} in none" if result["noise"] else ""
    say(f"{result['images']:,} images in {result['clusters']} clusters{noise}: {result['output']}")


def probe(
    data: Data,
    of: Of = "pocket",
    labels: Annotated[int, typer.Option(help="Labelled images to learn from.")] = 1000,
    held_out: Annotated[str | None, typer.Option(help="Labelled test images.", show_default="others of DATA")] = None,
    repeats: Annotated[int, typer.Option(help="Choices of the labelled images.")] = 3,
    train_images: Annotated[int, typer.Option(help="Images seen by the classifier from scratch.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the first choice.")] = 0,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Measure features by a linear classifier.

    Beside it: pixels, the embedded features, and a classifier from scratch.
    """
    from ..evaluation.probe import probe as measure

    options = {"labels": labels, "held_out": held_out, "repeats": repeats, "train_images": train_images}
    result = measure(data, of=of, **options, seed=seed, device=device)  # type: ignore[arg-type]
    if as_json:
        return print_json(result)
    names = {"probe": f"linear, {result['features']}", "pocket": "linear, pocket", "pixels": "linear, pixels"}
    names |= {"scratch": "classifier from scratch"}
    rows = [
        [
            text,
            f"{100 * result[name]:.1f} %",
            f"{100 * result[f'{name}_low']:.1f} to {100 * result[f'{name}_high']:.1f}",
        ]
        for name, text in names.items()
        if name in result
    ]
    print_table("", ["accuracy", "mean", "95 % interval"], rows)
    say(f"{result['labels']:,} labels of {result['data']}, {result['repeats']} choices; tested on {result['test']}")
