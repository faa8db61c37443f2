"""The commands that explore a trained generator's latent spaces: `project`, `directions`, `edit`, `mix`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Device, JsonFlag, Output, check_model, print_json, say
from .help import expand_groups
from .sample import LabelOption, check_range, parse_seeds

if TYPE_CHECKING:
    from ..latent.codes import Codes
    from ..latent.directions import Direction
    from ..models.model import Model

Run = Annotated[str, typer.Argument(help="Run, model folder, or embedded.")]
Space = Annotated[str | None, typer.Option(help="Latent space: z, y, w or w+.", show_default="the widest")]
MOST_MIXTURES = 10_000  # of one table, which is kept in memory
Layers = Annotated[
    str | None, typer.Option(help="Layers that the change reaches, as 4-7; the first is 0.", show_default="all")
]


@dataclass(frozen=True)
class DescentArguments:
    """Options of a projection: `latent.project.ProjectOptions`."""

    space: Space = None
    steps: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 300
    loss: Annotated[str, typer.Option(help="Maps compared beside pixels: pocket, vgg16, vgg19; or pixel.")] = "pocket"
    starts: Annotated[int, typer.Option(help="Starts for each image; the best one is taken.")] = 4
    seed: Annotated[int, typer.Option(help="Seed of the random codes among which starts are chosen.")] = 0


@expand_groups
def project(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Images, or folders of images.")],
    output: Output,
    descent: DescentArguments,
    film: Annotated[Path | None, typer.Option(help="Film of the way to the best code: .gif, .mp4 or .png.")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Also tune the weights around the codes.")] = False,
    tune_steps: Annotated[int, typer.Option(help="Steps of --tune.")] = 300,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Find the codes whose images are nearest to given ones.

    The output is a folder with codes, images and, with --tune, a model; or one file of images (.png) with the codes
    beside it.
    """
    from ..latent.photos import image_files, read_photos
    from ..latent.project import ProjectOptions
    from ..models.model import load
    from .latent_files import ProjectionFiles, project_and_save, show_projection

    check_model(run, "sample")
    check_range("--tune-steps", tune_steps, 1, 100_000)
    options, files = ProjectOptions(**vars(descent)), ProjectionFiles(output, film, tune)
    model = load(run, device=device, precision="fp32")
    model.spaces()  # refuses what is no generator before images are read
    paths = image_files(photos)
    files.check_photos(paths)
    images, notes = read_photos(model, paths)
    for note in notes:
        say(note, "yellow")
    result = project_and_save(model, images, files.names(paths), options, files, tune_steps)
    print_json(result) if as_json else show_projection(result)


@dataclass(frozen=True)
class DiscoveryArguments:
    """Options of a search for directions: `latent.discover.discover`."""

    space: Annotated[str | None, typer.Option(help="Latent space.", show_default="w, or z without styles")] = None
    count: Annotated[int, typer.Option(help="Number of directions.")] = 10
    samples: Annotated[int, typer.Option(help="Codes that pca, labels and scales are computed from.")] = 4000
    seed: Annotated[int, typer.Option(help="First seed of the codes.")] = 0


@expand_groups
def directions(
    run: Run,
    output: Output,
    source: Annotated[
        str, typer.Option("--from", help="sefa, pca, labels, or A,B: two files of codes, images or folders.")
    ] = "sefa",
    *,
    discovery: DiscoveryArguments,
    classifier: Annotated[Path | None, typer.Option(help="labels: a run that names the classes of images.")] = None,
    classes: Annotated[str | None, typer.Option(help="labels: two classes as 3,8.", show_default="each")] = None,
    rows: Annotated[int, typer.Option(help="Seeds in the image of a direction.")] = 6,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Find directions in a latent space.

    The output is a folder with a file and an image of each, the one with the largest effect first: rows of seeds from
    -3 to 3 standard deviations.
    """
    from ..errors import UsageError
    from ..latent.discover import discover
    from ..models.model import load
    from .latent_files import difference_of, save_directions, show_directions

    check_model(run, "sample")
    check_range("--rows", rows, 1, 64)
    if output.suffix:
        raise UsageError(f"--output is a folder for directions, not {output.name}.")
    model = load(run, device=device)
    if "," in source:
        if classifier or classes:
            raise UsageError("--classifier and --classes go with --from labels, not with two sets.")
        listed = [difference_of(model, source, discovery.space)]
    else:
        names = load(classifier, device=device) if classifier else None
        pair = classes.split(",") if classes else []
        listed = discover(model, source, classifier=names, classes=pair, **vars(discovery))
    table = save_directions(model, listed, output, range(discovery.seed, discovery.seed + rows))
    answer = {"output": str(output), "space": listed[0].space, "directions": table}
    print_json(answer) if as_json else show_directions(answer)


@dataclass(frozen=True)
class CodeArguments:
    """Options that give codes: a file, or seeds."""

    code: Annotated[Path | None, typer.Option(help="File of codes, as `ganvas project` writes.")] = None
    seed: Annotated[str | None, typer.Option(help="Seeds in place of codes, as 7 or 0-15.")] = None
    label: LabelOption = None
    trunc: Annotated[float, typer.Option(help="Scale of the latents of seeds; below 1: less variety.")] = 1.0

    def read(self, model: "Model", space: str) -> "Codes":
        """The codes, those of seeds in this space."""
        from ..errors import UsageError

        check_range("--trunc", self.trunc, 0, 10)
        if (self.code is None) == (self.seed is None):
            raise UsageError("Give either --code FILE or --seed N.")
        return read_codes(model, self.seed, self.code, self.label, space, self.trunc)


@expand_groups
def edit(
    run: Run,
    output: Output,
    given: CodeArguments,
    direction: Annotated[
        list[str] | None,
        typer.Option(help="FILE=STEP: a direction and its step in standard deviations; repeatable."),
    ] = None,
    layers: Layers = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Move images along directions of the latent space.

    The output is an image or a grid (.png), a folder of PNGs, or codes (.safetensors).
    """
    from ..latent.codes import SUFFIXES
    from ..latent.directions import edit as move
    from ..latent.directions import mixing_space
    from ..models.model import load
    from .save import save_samples

    check_model(run, "sample")
    model = load(run, device=device)
    steps = [read_step(text) for text in direction or []]
    space = steps[0][0].check(model).name if steps else mixing_space(model)
    codes = given.read(model, space)
    images, moved = move(model, codes, steps, parse_layers(layers))
    if output.suffix.lower() in SUFFIXES:
        moved.save(output)
        files = [str(output)]
    else:
        files = save_samples(iter([images]), parse_seeds(given.seed or f"0-{len(codes) - 1}"), output)
    if as_json:
        return print_json({"output": str(output), "images": len(images), "files": files, "space": moved.space})
    say(f"{len(images)} images in {output}")


def mix(
    run: Run,
    output: Output,
    rows: Annotated[str, typer.Option(help="Seeds of the rows, as 0-3, or a file of codes.")] = "0-3",
    columns: Annotated[str, typer.Option(help="Seeds of the columns, or a file of codes.")] = "4-9",
    layers: Annotated[
        str | None, typer.Option(help="Layers that the columns give, as 4-7.", show_default="the second half")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Latent space of the seeds.", show_default="the best to mix")
    ] = None,
    label: LabelOption = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Mix the latent codes of rows and columns.

    The output is a table (.png): rows and columns at its edges, inside their mixtures: the layers of one with those of
    the other, or the point halfway.
    """
    from ..errors import UsageError
    from ..latent.directions import mix as mixture
    from ..latent.directions import mixing_space
    from ..models.model import load
    from .latent_files import save_table

    check_model(run, "sample")
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output takes a .png for a table of mixtures, not {output.name}.")
    model = load(run, device=device)
    place = space or mixing_space(model)
    sides = [read_side(model, text, label, place) for text in (rows, columns)]
    check_range("The number of mixtures", len(sides[0]) * len(sides[1]), 1, MOST_MIXTURES)
    table = mixture(model, sides[0], sides[1], parse_layers(layers))
    save_table(table, sides[0].draw(model), sides[1].draw(model), output)
    if as_json:
        shape = {"rows": len(sides[0]), "columns": len(sides[1])}
        return print_json({"output": str(output), **shape, "space": sides[0].space})
    say(f"{table.shape[0]} x {table.shape[1]} mixtures in {output}")


def read_side(model: "Model", text: str, label: str | None, space: str) -> "Codes":
    """The codes of seeds, or those in a file."""
    if re.fullmatch(r"[\d\s,-]+", text):
        check_range("The number of mixtures", len(parse_seeds(text)), 1, MOST_MIXTURES)
        return read_codes(model, text, None, label, space)
    return read_codes(model, None, Path(text), label, space)


def read_codes(
    model: "Model", seeds: str | None, file: Path | None, label: str | None, space: str, trunc: float = 1.0
) -> "Codes":
    """The codes of seeds, or those in a file, which have labels already."""
    from ..errors import UsageError
    from ..latent.codes import Codes

    if file is None:
        return model.codes(parse_seeds(seeds or ""), space=space, label=model.read_label(label), trunc=trunc)
    if label is not None:
        raise UsageError("--label goes with seeds: codes in a file have their labels.")
    return Codes.read(file)


def read_step(text: str) -> "tuple[Direction, float]":
    """A direction and its step from `FILE=2.5`."""
    from ..errors import UsageError
    from ..latent.directions import Direction
    from ..paths import user_path

    file, equals, number = text.rpartition("=")
    try:
        step = float(number) if equals else float("nan")
    except ValueError:
        step = float("nan")
    if not file or not -1000 <= step <= 1000:
        raise UsageError(f"--direction takes FILE=STEP with a step in standard deviations, as sefa0=2.5, got {text!r}.")
    return Direction.read(user_path(file, "--direction")), step


def parse_layers(text: str | None) -> list[int]:
    """Numbers of layers from `4-7`; none for None."""
    from ..errors import UsageError

    if text is None:
        return []
    try:
        layers = parse_seeds(text)
    except UsageError:
        raise UsageError(f"--layers takes numbers and ranges as 4-7 or 0,2, got {text!r}.") from None
    if len(layers) > 1000:
        raise UsageError(f"--layers takes numbers and ranges as 4-7 or 0,2, got {text!r}.")
    return layers
