"""A model in the layout of the Hugging Face Hub: config.json, model.safetensors, a card with images; and its upload."""

import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

from ..checkpoints.download import digest
from ..checkpoints.hub import endpoint, first_line, import_hub, require_answer
from ..errors import UsageError, UserError
from ..files import atomic_write, write_json
from ..imaging.grid import grid
from ..models.folder import HUB_WEIGHTS
from ..models.hub import NAME
from ..models.model import Model, load
from ..models.open_model_db import ARCHITECTURES, OPEN_MODEL_DB, Entry, Resource
from ..paths import user_path
from ..run import Run
from ..version import __version__
from .pth import as_checkpoint

PIPELINES = {"restoration": "image-to-image", "translation": "image-to-image", "classification": "image-classification"}
IMAGES = "samples.png"


def save_pretrained(
    model: Model, folder: Path | str, *, run: Run | None = None, name: str = "", license: str = "unknown"
) -> list[str]:
    """Write a model as the Hub keeps it; returns the names of its files.

    config.json, model.safetensors and README.md, the card: license, tags, the run's measures with their protocols, and
    images, where there are any.  An upscaler also gets openmodeldb.json.  Raises `UsageError` if `folder` has content.
    """
    from safetensors.torch import save_file

    output = user_path(folder, "The folder")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists already; give a folder that is new or empty.")
    if "task" not in model.config:
        raise UsageError("A weight file of another project has no config; only models of runs go to the Hub.")
    with atomic_write(output) as part:
        part.mkdir()
        write_json(part / "config.json", {"ganvas": __version__, **model.config})
        weights = {key: value.detach().cpu().contiguous() for key, value in model.task.generator.state_dict().items()}
        save_file(weights, part / HUB_WEIGHTS, {"format": "pt"})
        images = _save_images(model, run, part)
        if model.task.restores and hasattr(model.task.generator, "scale"):
            entry = open_model_db(model, part / HUB_WEIGHTS, name=name, license=license)
            write_json(part / OPEN_MODEL_DB, entry.as_json())
        text = card(model, run, name=name, license=license, images=images)
        (part / "README.md").write_text(text, encoding="utf-8")
    return sorted(file.name for file in output.iterdir())


def push(source: Path | str, name: str, *, license: str = "unknown", private: bool = False) -> dict[str, Any]:
    """Upload the model of a run or a model folder as `user/name`; returns its address, its files and its license.

    Raises `UserError` without the package or an answer, and where the Hub refuses.
    """
    if NAME.fullmatch(name) is None:
        raise UsageError(f"A name on the Hub is user/name, got {name!r}.")
    hub = import_hub()
    require_answer()
    path = user_path(source, "The model")
    run = Run(path) if (path / "model").is_dir() else None
    model = load(path, device="cpu", precision="fp32")
    api = hub.HfApi(endpoint=endpoint(), library_name="ganvas", library_version=__version__)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        files = save_pretrained(model, folder, run=run, name=name, license=license)
        try:
            api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(repo_id=name, folder_path=folder, commit_message=f"ganvas {__version__}")
        except Exception as problem:  # of the library, of the network
            status = getattr(getattr(problem, "response", None), "status_code", None)
            reason = first_line(problem)
            if status in (401, 403):
                reason = (
                    "it knows no token of yours that may write there; log in with `hf auth login`, or set HF_TOKEN."
                )
            raise UserError(f"{endpoint()} did not take {name}: {reason}") from None
    return {"url": f"{endpoint()}/{name}", "files": files, "license": license}


def card(model: Model, run: Run | None, *, name: str, license: str, images: str | None) -> str:
    """The README of a model: YAML that the Hub reads, and how the model was trained, measured and is used."""
    config = run.config() if run else {}
    recipe, trained = config.get("recipe_name") or "model", model.config.get("images", 0)
    source = Path(str(config.get("data", {}).get("source", ""))).name
    pipeline = pipeline_of(model)
    measures = run.evaluations()[-1:] if run else []
    head: dict[str, Any] = {"library_name": "ganvas", "pipeline_tag": pipeline, "license": license}
    head["tags"] = ["ganvas", "gan", *([recipe] if run else [])]
    if images:
        head["widget"] = [{"text": "samples", "output": {"url": images}}]
    if measures:
        head["model-index"] = [_index(name or recipe, pipeline, source, measures[0])]
    yaml = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items())  # JSON is YAML
    about = f"Trained with ganvas {__version__} on {trained:,} images" + (f" drawn from {source}" if source else "")
    use = f'import ganvas\n\nmodel = ganvas.load("{name or "THIS FOLDER"}")\n{model.task.example}'
    sections = [f"---\n{yaml}\n---\n# {name or recipe}", f"{about}.", f"```python\n{use}\n```"]
    if images:
        sections.insert(2, f"![samples]({images})")
    if measures:
        rows = "\n".join(f"| {key} | {value} |" for key, value in measures[0].items())
        sections.append(f"Measured with its protocol:\n\n| | |\n|---|---|\n{rows}")
    return "\n\n".join(sections) + "\n"


def pipeline_of(model: Model) -> str:
    """The Hub's name for the kind of a model."""
    from ..models.resolve import kind_of

    kind = kind_of(model.task)
    if kind == "generation":
        captions = model.task.label_form().get("kind") == "caption"
        return "text-to-image" if captions else "unconditional-image-generation"
    return PIPELINES[kind]


def open_model_db(model: Model, weights: Path, *, name: str, license: str) -> Entry:
    """A restoration model's entry of OpenModelDB."""
    network: Any = model.task.generator
    channels = int(model.config["data"]["channels"])
    author, _, title = name.rpartition("/")
    urls = (f"{endpoint()}/{name}/resolve/main/{HUB_WEIGHTS}",) if author else ()
    architecture = as_checkpoint(network).network
    return Entry(
        title or weights.parent.name,
        ARCHITECTURES.get(architecture, architecture),
        int(network.scale),
        (Resource("pytorch", "safetensors", weights.stat().st_size, digest(weights), urls),),
        author=author,
        license=None if license == "unknown" else license,
        tags=("general-upscaler" if network.scale > 1 else "restoration",),
        description=f"Trained with ganvas {__version__} on {model.config.get('images', 0):,} images.",
        date=datetime.date.today().isoformat(),
        channels=(channels, channels),
    )


def _save_images(model: Model, run: Run | None, folder: Path) -> str | None:
    """Write the newest sample grid of the run, or samples of a generator; the file's name, None without any."""
    grids = sorted(run.samples.glob("*.png")) if run else []
    if grids:
        (folder / IMAGES).write_bytes(grids[-1].read_bytes())
    elif model.task.draws_images and not model.task.translates:
        grid(model.sample(16, seed=0)).save(folder / IMAGES)
    return IMAGES if (folder / IMAGES).exists() else None


def _index(name: str, pipeline: str, source: str, measured: dict[str, Any]) -> dict[str, Any]:
    """The entry of `model-index` for one measurement: the metric, and the rest as its protocol."""
    metric = str(measured["metric"])
    protocol = ", ".join(f"{key} {value}" for key, value in measured.items() if key not in ("metric", metric))
    value = {"type": metric, "name": f"{metric} ({protocol})", "value": measured.get(metric)}
    data = {"name": source, "type": source}
    return {"name": name, "results": [{"task": {"type": pipeline}, "dataset": data, "metrics": [value]}]}
