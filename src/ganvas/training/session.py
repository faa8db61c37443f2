"""From a request to a run in training: recipe, data, networks, folder, and the loop over the steps of the game."""

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from .. import catalog
from ..config import Recipe, Spec
from ..data.batches import Batches
from ..data.dataset import Dataset
from ..data.degrade import Degradation
from ..data.sources import open_saved
from ..data.transforms import parse_transforms
from ..errors import UsageError, UserError, did_you_mean
from ..files import read_json
from ..paths import hidden_by_name, user_path
from ..policy import Policy, RandomNumbers, is_out_of_memory, seed_generators
from ..run import Run
from ..tasks.base import Task
from . import distributed
from .choice import apply_preset, choose, find_preset, smaller
from .description import describe_run, model_card
from .evaluation import open_evaluation
from .init_from import inherit_defaults, initialize, recipe_of
from .interrupts import collect_signals
from .lock import create_folder, lock_folder
from .loggers import import_logger, logger_names
from .mirror import Mirror, open_mirror
from .players import Diverged, Group
from .recorder import Event, Finished, Notice, Recorder, Snapshot, Stepped
from .rehearsal import OUT_OF_MEMORY, rehearse
from .request import TrainOptions, TrainRequest, check_numbers, check_sizes, with_defaults
from .teacher import open_teacher
from .trainer import Trainer

if TYPE_CHECKING:
    from ..reporting import Report

NEIGHBOURS_AFTER = 60.0  # seconds of training, after which a report looks for neighbours by itself
NEIGHBOURS_AMONG = 10_000  # training images, then: some seconds

Decoding = Callable[[int, int], None]  # images done, images in all


def train(
    recipe: str | Recipe | None = None,
    *,
    data: str | Dataset | None = None,
    outdir: str | os.PathLike[str],
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a recipe on data until its images (or `minutes`) are over; returns the run.

    `recipe` is a name, a saved config.json or a `Recipe`; `options` are those of `TrainRequest`: images, minutes,
    seed, batch, resolution, device, precision, set, labels, augment, init_from, resume, snapshot_images, hold_out, ...
    `on_event` is called with every `Event`.  Raises `UserError` with a sentence for a mistake in the request.
    """
    session = prepare(TrainRequest(recipe, data, outdir, **options))
    try:
        for event in session:
            if on_event:
                on_event(event)
            if isinstance(event, Finished):
                session.report(event.reason)
    finally:
        session.close()
    return session.run


def prepare(request: TrainRequest, progress: Decoding | None = None) -> "Session":
    """Check a request, open its data and set up the run folder; trains nothing yet.  Raises `UserError`."""
    check_numbers(request)
    run, mirror = Run(request.folder), open_mirror(request.address, request.folder, request.resume)
    if request.resume and request.data is request.init_from is None and not run.exists():
        problem = "is not a run of ganvas (no config.json)" if run.path.exists() else "does not exist"
        raise UsageError(f"{run.path} {problem}; to begin one there, give --data, and RECIPE or none.")
    if request.resume and run.exists():
        from .resume import complete_from_run  # it resolves the saved recipe as this module does

        request = complete_from_run(request)
    else:
        run.check_new()
        request = replace(request, resume=False)
    if request.data is None:
        raise UsageError("Missing --data: training needs data, a FOLDER or one of `ganvas list data`.")
    request, chosen = choose(with_defaults(request), lambda: _open_data(request, 0, progress, Group()))
    recipe = resolve_recipe(request)
    for name in logger_names(request.log):
        import_logger(name)
    device, precision, compiled = request.device or "auto", request.precision or "auto", request.compile or "auto"
    policy = Policy.choose(device, precision, compiled, recipe.images)
    group = distributed.Processes(distributed.local_device(policy.device)) if distributed.under_torchrun() else Group()
    with contextlib.ExitStack() as closing:  # what it holds is closed here after a refusal, else by the session
        closing.callback(group.close)
        closing.callback(mirror.close if mirror else int)
        if request.resume:
            group.first(lambda: lock_folder(run, closing))
        dataset = _open_data(request, recipe.patch, progress, group)
        if size := smaller(request, dataset.facts.resolution):
            request = replace(request, resolution=size)
            dataset = _open_data(request, recipe.patch, progress, group)
        policy = policy.for_resolution(dataset.facts.resolution, precision)
        with (random := RandomNumbers(policy.device)):
            session = _build_session(request, recipe, dataset, policy, group, closing)
        chosen += mirror.begin(group) if mirror else []
        session.mirror, session.random, session.closing = mirror, random, closing.pop_all()
        session.notices = [*chosen, *session.notices]
        return session


def _build_session(
    request: TrainRequest,
    recipe: Recipe,
    dataset: Dataset,
    policy: Policy,
    group: Group,
    closing: contextlib.ExitStack,
) -> "Session":
    seed = request.seed or 0
    check_sizes(recipe, len(dataset) - (request.hold_out or 0), group.world)
    facts = data_facts(dataset, recipe)
    task = build_task(recipe, facts, seed, policy)
    open_teacher(task, facts, policy)
    batches = Batches(
        dataset,
        seed=seed,
        device=policy.device,
        transforms=[spec.build() for spec in recipe.transforms],
        workers=request.workers or 0,
        needs=task.needs,
        hold_out=request.hold_out or 0,
        degradation=recipe.degradation.build() if recipe.degradation else None,
    )
    task.examples = lambda places: batches.preview(places)  # a function, because copies of a task share it
    notices: list[str] = []
    if request.init_from is not None and not (request.resume and Run(request.folder).states()):
        notices = initialize(task, request.init_from, raw=bool(request.init_raw))
    if recipe.sync_batch_norm and group.world > 1:
        distributed.synchronise_batch_norm(task)
    if task.discriminator is not None and recipe.d_optimizer is None:
        raise UsageError("d_optimizer is none, and this task has a discriminator: --set d_optimizer=adam.")
    rehearse(task, recipe, batches, policy, group)
    trainer = Trainer(task, recipe, batches, policy, group=group)
    recorder = _open_recorder(request, trainer, dataset, facts, closing)
    if request.resume:
        notices += recorder.resume()
    notices += [recorder.evaluation.notice] if recorder.evaluation and recorder.evaluation.notice else []
    hidden = [f"{sentence}." for sentence in hidden_by_name(dataset.name, catalog.SOURCES)]
    return Session(recorder, dataset, batches, [*hidden, *notices])


def _open_recorder(
    request: TrainRequest, trainer: Trainer, dataset: Dataset, facts: dict[str, Any], closing: contextlib.ExitStack
) -> Recorder:
    """The recorder of a run, whose folder is made if it is new: after everything that may be refused."""
    policy, group, run = trainer.policy, trainer.group, Run(request.folder)
    evaluation = open_evaluation(request, trainer.recipe, dataset, policy.device)
    config = describe_run(request, trainer.recipe, dataset, facts, policy, group)
    if evaluation:
        group.first(lambda: evaluation.rehearse(trainer, config))
    if not request.resume:
        group.first(lambda: create_folder(run, config, closing))
    return Recorder(run, trainer, request, config, model_card(config, dataset, trainer.task), evaluation)


def build_task(recipe: Recipe, facts: dict[str, Any], seed: int, policy: Policy) -> Task:
    """The networks of a recipe for data of these facts: the same weights on every process and in every run of a seed.

    It seeds torch's generators, from which training goes on.
    """
    seed_generators(seed, policy.device)
    task: Task = recipe.task.build(**facts)
    return task


def build_trainer(recipe: Recipe, dataset: Dataset, *, seed: int = 0, policy: Policy | None = None) -> Trainer:
    """The trainer of a run without its folder: `trainer.advance()` takes the steps that `train` takes, bit for bit.

    It seeds torch's generators.  Raises `UsageError` for parts that do not work together.
    """
    policy = policy or Policy.choose("cpu", "fp32", "off")
    check_sizes(recipe, len(dataset), 1)
    task = build_task(recipe, data_facts(dataset, recipe), seed, policy)
    batches = Batches(dataset, seed=seed, device=policy.device, needs=task.needs)
    rehearse(task, recipe, batches, policy, Group())
    return Trainer(task, recipe, batches, policy)


class Session:
    """One run in training: iterate over its events, then `close` it."""

    def __init__(self, recorder: Recorder, dataset: Dataset, batches: Batches, notices: list[str]):
        self.recorder, self.dataset, self.batches, self.notices = recorder, dataset, batches, notices
        self.run, self.trainer = recorder.run, recorder.trainer
        self.signals, self.closing = recorder.signals, contextlib.ExitStack()
        self.random = RandomNumbers(self.trainer.policy.device)
        self.mirror: Mirror | None = None

    def __iter__(self) -> Iterator[Event]:
        """The events of the run; between them the global random numbers are the caller's."""
        events = self._events()
        try:
            while True:
                with self.random:
                    event = next(events, None)
                if event is None:
                    return
                yield event
        finally:
            events.close()

    def _events(self) -> Generator[Event]:
        recorder, self.started = self.recorder, time.perf_counter()
        recorder.restart_clock()
        recorder.open_logs()
        with collect_signals() as received:
            try:
                for event in self._train(received):
                    yield event
                    if self.mirror and isinstance(event, Snapshot):
                        yield from map(Notice, self.mirror.send(self.trainer.group))
            except RuntimeError as problem:
                if is_out_of_memory(problem):
                    raise UserError(OUT_OF_MEMORY.format(self.trainer.recipe.batch)) from None
                raise
        if recorder.logs:
            recorder.logs.close()

    def _train(self, received: list[str]) -> Iterator[Event]:
        """One step of the game after another, and what is due after each, until there is a reason to stop."""
        trainer, recorder = self.trainer, self.recorder
        reason = recorder.evaluation.reason if recorder.evaluation else ""  # a run that was good enough stays stopped
        if trainer.images != recorder.saved_at:
            yield recorder.snapshot()
        while trainer.images < trainer.recipe.images and not reason:
            try:
                before = trainer.images
                with self.signals.around_step(trainer):
                    progress = trainer.advance()
                yield Stepped(progress)
                yield from self._between(before)
                reason = self._reason_to_stop(received)
                if (reason or trainer.images >= trainer.recipe.images) and trainer.images != recorder.saved_at:
                    yield recorder.snapshot()
            except Diverged:
                yield Notice(recorder.return_from_divergence())
        yield Finished(reason or "done")

    def _between(self, before: int) -> Iterator[Event]:
        """Log, evaluate and snapshot where this step has crossed their number of images."""
        recorder, now = self.recorder, self.trainer.images
        if crossed(before, now, recorder.log_images):
            logged = recorder.log()
            yield logged
            yield from map(Notice, recorder.logs.take_notices() if recorder.logs else [])
            if recorder.request.heal and (trouble := recorder.doctor.first_curable(logged.findings)):
                yield Notice(recorder.heal(trouble))
                return
        if recorder.evaluation and recorder.evaluation.due(before, now, recorder.log_images):
            yield recorder.evaluate(recorder.evaluation)
        if crossed(before, now, recorder.snapshot_images) and now < self.trainer.recipe.images:
            yield recorder.snapshot()

    def _reason_to_stop(self, received: list[str]) -> str:
        """`minutes`, the evaluation's reason, the name of a signal, or nothing; the same on every process."""
        minutes = self.recorder.request.minutes
        late = minutes is not None and time.perf_counter() - self.started >= 60 * minutes
        evaluation = self.recorder.evaluation.reason if self.recorder.evaluation else ""
        if not self.trainer.group.agree(bool(received or evaluation) or late):
            return ""
        return received[0] if received else evaluation or "minutes"

    def report(self, reason: str = "done") -> "Report | None":
        """Write RUN/report.html, if this process writes, and mirror the run; a failed report ends no training.

        Nearest neighbours are searched where that takes a small part of the time of training, and not after a signal:
        `reason` is why training stopped.
        """
        from ..reporting import report

        if not self.recorder.writes:
            return None
        near = self.recorder.seconds >= NEIGHBOURS_AFTER and not reason.startswith("SIG")
        device = self.trainer.policy.device.type
        try:
            return report(self.run.path, neighbours=near, searched=NEIGHBOURS_AMONG, device=device)
        except UserError as problem:
            self.notices.append(str(problem))
            return None
        finally:
            if self.mirror:
                self.mirror.complete()

    def close(self) -> None:
        """Stop the processes that load data, release the folder, and leave the group."""
        self.batches.close()
        self.closing.close()


def crossed(before: int, now: int, every: int) -> bool:
    """True if a multiple of `every` lies in (before, now]."""
    return before // every != now // every


def resolve_recipe(request: TrainRequest) -> Recipe:
    """The recipe of a request, with every override applied."""
    recipe, source = request.recipe, request.init_from
    if recipe is None and source is not None:
        recipe = recipe_of(source)
    recipe, preset = find_recipe(recipe), find_preset(recipe, request.preset)
    apply_preset(recipe, preset)
    if source is not None:
        inherit_defaults(recipe, source, replace=True)
    for name in ("batch", "images", "freeze_d"):
        if (value := getattr(request, name)) is not None:
            recipe.set(name, str(value))
    changes = request.set.items() if isinstance(request.set, Mapping) else [_parse_change(text) for text in request.set]
    for path, value in changes:
        recipe.set(path, value if isinstance(value, str) else repr(value))
    if source is not None:
        inherit_defaults(recipe, source, replace=False)
    if request.augment:
        _refuse_d_augment(part.partition("=")[0].strip() for part in request.augment.split(","))
        recipe.transforms = [Spec(catalog.AUGMENT[name], **given) for name, given in parse_transforms(request.augment)]
    _refuse_d_augment(catalog.name_of(spec.target) for spec in recipe.transforms)
    if not issubclass(recipe.task.target, Task):
        raise UsageError(f"task is {recipe.task.target.__name__}, which is no task; ganvas list tasks has them.")
    for name in recipe.task.target.files:  # so that the run can be resumed from another folder
        if (file := user_path(str(recipe.task.get(name)), name)).is_file():
            recipe.task.put(name, os.path.abspath(file))
    return recipe


def find_recipe(name: str | Recipe | None) -> Recipe:
    """A fresh recipe by name or from a saved config.json; a `Recipe` is copied.  Raises `UsageError` for others."""
    if isinstance(name, Recipe):
        return name.copy()
    if name is None:
        raise UsageError(f"Missing RECIPE: one of {', '.join(catalog.RECIPES)}, or a saved config.json.")
    if name in catalog.RECIPES:
        return catalog.RECIPES[name]()
    if name.endswith(".json") or os.sep in name:
        saved = read_json(user_path(name, "RECIPE"))
        return Recipe.from_dict(saved.get("recipe", saved))
    raise UsageError(
        f"There is no recipe {name!r}.{did_you_mean(name, catalog.RECIPES)} There are: {', '.join(catalog.RECIPES)}."
    )


def _refuse_d_augment(names: Iterable[str]) -> None:
    """Raise `UsageError` for a change to the data that belongs before the discriminator."""
    for name in names:
        if name in catalog.D_AUGMENT:
            raise UsageError(
                f"{name} changes what the discriminator sees, real and fake alike, not the data: --set augment={name}."
            )


def _parse_change(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set takes path=value, for example generator.width=128; got {text!r}.")
    return path.strip(), value.strip()


def data_facts(dataset: Dataset, recipe: Recipe) -> dict[str, Any]:
    """Values of `config.FACTS`: what networks are built for.

    Sources are the data's own, or those that the recipe's degradation makes.
    """
    facts, sources, scale = dataset.facts, dataset.facts.source_channels, dataset.facts.scale
    if recipe.degradation and not sources:
        degradation: Degradation = recipe.degradation.build()
        degradation.check(facts)
        sources, scale = degradation.channels(facts.channels), degradation.scale
    size = {"resolution": facts.resolution, "channels": facts.channels, "classes": facts.classes}
    labels = {"attributes": facts.attributes, "unlabelled": facts.unlabelled}
    return {**size, **labels, "source_channels": sources, "source_scale": scale}


def _open_data(request: TrainRequest, patch: int, progress: Decoding | None, group: Group) -> Dataset:
    """The data; of several processes the first prepares the cache, where the others read it."""
    labels, seed = request.labels, request.seed or 0
    if isinstance(request.data, Dataset):
        return request.data if labels is None else request.data.keep_labels(labels, seed)
    if group.rank:
        group.wait()
    saved = Run(request.folder).config()["data"].get("fingerprint") if request.resume else None
    options = {"resolution": request.size, "patch": patch, "cache": request.cache, "progress": progress}
    try:
        return open_saved(str(request.data), saved, labels, seed, **options)
    finally:
        if not group.rank:
            group.wait()
