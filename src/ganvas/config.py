"""`Spec`, a component and its options before it is built, and `Recipe`, everything of one training run.

The signature of a component is its schema: there is no second list of options anywhere.  A `Spec`
names a component by its class in source and by its catalogue name in files.
"""

import ast
import inspect
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from . import catalog, legacy
from .errors import UsageError, UserError, did_you_mean

# Facts of the data, as components name them and as config.json saves them.
FACTS = ("resolution", "channels", "classes", "attributes", "unlabelled", "source_channels", "source_scale")
BY_THE_DATA = {*FACTS, "features", "outputs", "codes"}  # and what a task tells its heads
BY_THE_MACHINE = {"params", "foreach", "fused", "capturable", "differentiable", "maximize", "decoupled_weight_decay"}
DECIDED_ELSEWHERE = BY_THE_DATA | BY_THE_MACHINE  # options of components that users do not set


@cache
def options(target: type) -> Mapping[str, inspect.Parameter]:
    """The keyword options of a component, with resolved annotations.

    `**base` in a constructor stands for the options of the class above, without those that `decides` lists.
    """
    parameters = inspect.signature(target).parameters
    try:
        hints = typing.get_type_hints(target.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # a foreign class whose annotations cannot be resolved here
        hints = {}
    own = {
        name: p.replace(annotation=hints.get(name, p.annotation))
        for name, p in parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
        return own
    classes = target.__mro__
    above = classes[next(k for k, c in enumerate(classes) if "__init__" in vars(c)) + 1]
    return {**{k: p for k, p in options(above).items() if k not in getattr(target, "decides", ())}, **own}


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers, arrays and devices of NumPy and PyTorch, and paths, as Python's own."""
    if isinstance(value, os.PathLike) or (type(value).__module__, type(value).__name__) == ("torch", "device"):
        return str(value)
    if callable(convert := getattr(value, "tolist", None)) and not isinstance(value, type):
        return convert()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return {k: plain(v) for k, v in value.items()} if type(value) is dict else value


def fitting(annotation: Any, value: Any) -> Any:
    """A value as an annotation takes it: itself, or else its plain form, or that as a path; `accepts` checks it."""
    if accepts(annotation, value):
        return value
    value = plain(value)
    return Path(value) if isinstance(value, str) and accepts(annotation, Path(value)) else value


def accepts(annotation: Any, value: Any) -> bool:
    """True if a value fits an annotation; annotations other than plain data accept anything."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(accepts(a, value) for a in args)
    if origin is typing.Literal:
        return value in args
    if origin is tuple and isinstance(value, (tuple, list)):
        inner = [args[0]] * len(value) if args[-1:] == (...,) else args
        return len(inner) == len(value) and all(accepts(a, v) for a, v in zip(inner, value))
    if origin in (tuple, list):
        return isinstance(value, (tuple, list)) and all(accepts(args[0], v) for v in value)
    if annotation is float:  # as in Python's typing, an int will do
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is None:
        return value is None
    if annotation in (inspect.Parameter.empty, Any, object) or not isinstance(annotation, type):
        return True
    return isinstance(value, annotation)


def wants_text(annotation: Any, text: str) -> bool:
    """True if `text` is the value itself (a word or a choice) and not a literal to be parsed."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return text != "none" and any(wants_text(a, text) for a in typing.get_args(annotation))
    return annotation is str or (typing.get_origin(annotation) is typing.Literal and accepts(annotation, text))


def type_name(annotation: Any) -> str:
    """The text of an annotation in help and messages: `int`, `float or none`, `one of 'a', 'b'`."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(a) for a in args if getattr(a, "__name__", "") != "Tensor")
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in args)
    if annotation in (None, type(None)):
        return "none"
    if annotation is inspect.Parameter.empty:
        return "any"
    if origin in (tuple, list):
        inner = ", ".join("..." if a is ... else type_name(a) for a in args)
        return f"{origin.__name__}[{inner}]"
    if annotation is Spec:
        return "component"
    return getattr(annotation, "__name__", str(annotation))


class Spec:
    """A class and the keyword arguments it will be built with.

    Raises `UsageError` where it is written, if an option is unknown or its value has the wrong type.
    """

    def __init__(self, target: type, /, **kwargs: Any):
        self.target = target
        self.kwargs: dict[str, Any] = {}
        for name, value in kwargs.items():
            self.put(name, value)

    def put(self, name: str, value: Any) -> None:
        """Set one option, checked against the signature; raises `UsageError`."""
        known = options(self.target)
        if name not in known:
            raise self._unknown(name, list(known))
        value = fitting(known[name].annotation, value)
        if not accepts(known[name].annotation, value):
            raise UsageError(f"{name} must be {type_name(known[name].annotation)}, got {value!r}.")
        self.kwargs[name] = value

    def build(self, **facts: Any) -> Any:
        """Construct the component; of `facts` (properties of the data) it gets those that its signature names."""
        known = options(self.target)
        given = {**self.kwargs, **{k: v for k, v in facts.items() if k in known and k not in self.kwargs}}
        try:
            return self.target(**given)
        except UserError:
            raise
        except Exception as problem:  # whatever a constructor raises for values that cannot be checked before
            reason = str(problem).strip().partition("\n")[0] or type(problem).__name__
            raise UsageError(f"{self.target.__qualname__} cannot be built with these options: {reason}.") from problem

    def replace(self, **kwargs: Any) -> "Spec":
        """A copy with some options changed."""
        return Spec(self.target, **{**self.kwargs, **kwargs})

    def copy(self) -> "Spec":
        """A copy whose nested specs can be changed without touching this one."""
        return Spec(self.target, **{k: _copied(v) for k, v in self.kwargs.items()})

    def get(self, name: str) -> Any:
        """The value of an option: as set here, or its default."""
        return self.kwargs[name] if name in self.kwargs else options(self.target)[name].default

    def set(self, path: str, text: str) -> None:
        """`spec.set("generator.width", "64")`: override one option, by the type its signature gives it."""
        head, _, rest = path.partition(".")
        known = options(self.target)
        if head not in known:
            raise self._unknown(head, [k for k in known if k not in DECIDED_ELSEWHERE])
        if head in DECIDED_ELSEWHERE:
            raise UsageError(f"{path} cannot be set: it follows from the data or the machine.")
        if rest:
            value = self.kwargs[head] = _copied(self.get(head))
            _set_inside(value, rest, text, path)
        else:
            self.put(head, parse(text, known[head].annotation, path))

    def _unknown(self, name: str, known: list[str]) -> UsageError:
        return UsageError(
            f"{self.target.__qualname__} has no option {name!r}.{did_you_mean(name, known)} It has: {', '.join(known)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON: `{"()": "catalogue_name", option: value, ...}`.

        A component's `written` names options that are written by default, too: their default was another before
        (`legacy.DEFAULTS`).
        """
        defaults = {name: options(self.target)[name].default for name in getattr(self.target, "written", ())}
        return {"()": catalog.name_of(self.target), **{k: encode(v) for k, v in {**defaults, **self.kwargs}.items()}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"Spec({', '.join([self.target.__qualname__, *(f'{k}={v!r}' for k, v in self.kwargs.items())])})"


def _copied(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.copy()
    return type(value)(_copied(v) for v in value) if isinstance(value, (list, tuple)) else plain(value)


def _set_inside(value: Any, path: str, text: str, whole: str) -> None:
    """Follow a dotted path into a nested spec, or into a list of specs by position."""
    if isinstance(value, Spec):
        return value.set(path, text)
    place, _, rest = path.partition(".")
    if isinstance(value, list) and place.isdecimal() and int(place) < len(value) and rest:
        return _set_inside(value[int(place)], rest, text, whole)
    raise UsageError(f"{whole}: there is no component to look into at {path!r} (found {value!r}).")


def parse(text: str, annotation: Any, path: str) -> Any:
    """Read an option's value from text: numbers, words, lists, and components as `name` or `name(option=value)`."""
    if wants_text(annotation, text):
        return text
    if typing.get_origin(annotation) is list and not text.startswith("["):
        text = f"[{text}]"
    if typing.get_args(annotation) == (str,) and not {'"', "'"} & set(text):  # a list of words
        text = repr([word.strip() for word in text.strip("[]").split(",") if word.strip()])
    wrong = UsageError(f"{path} must be {type_name(annotation)}, got {text!r}.")
    takes_components = "Spec" in str(annotation)
    try:
        value = _read(ast.parse(text.strip(), mode="eval").body, takes_components)
    except (SyntaxError, ValueError):
        raise wrong from None
    if not accepts(annotation, value):
        raise wrong
    return value


def _read(node: ast.expr, takes_components: bool) -> Any:
    """A literal, a list of literals, or, where the option takes one, a component; nothing is evaluated."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_read(i, takes_components) for i in items]
        case ast.Name(id=name) if name in ("none", "true", "false"):
            return {"none": None, "true": True, "false": False}[name]
        case ast.Name(id=name) if takes_components:
            return Spec(_component(name))
        case ast.Call(func=ast.Name(id=name), args=[], keywords=given) if takes_components:
            return Spec(_component(name), **{str(k.arg): _read(k.value, takes_components) for k in given})
    return ast.literal_eval(node)


def _component(name: str) -> type:
    name = legacy.component_name(name)
    if name not in catalog.COMPONENTS:
        raise UsageError(f"No component is called {name!r}.{did_you_mean(name, catalog.COMPONENTS)}")
    return catalog.COMPONENTS[name]


def encode(value: Any) -> Any:
    """A value of a recipe as JSON."""
    value = plain(value)
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    raise TypeError(f"{value!r} cannot be written to a config; wrap it in a Spec")


def decode(value: Any, trust: tuple[type, ...] = ()) -> Any:
    """Decode what `encode` wrote; only components of the catalogue and classes in `trust` may be named."""
    return _decode(legacy.current(value), trust)


def _decode(value: Any, trust: tuple[type, ...]) -> Any:
    if isinstance(value, list):
        return [_decode(v, trust) for v in value]
    if isinstance(value, dict):
        name = value.get("()")
        target = catalog.component(name, trust) if isinstance(name, str) else None
        if target is None:
            raise UserError(f"The config names {name!r}, which is not in the catalogue, so it is not built.")
        return Spec(target, **{k: _decode(v, trust) for k, v in value.items() if k != "()"})
    return value


@dataclass
class Recipe:
    """Everything one training run is made of; every length is counted in real images."""

    task: Spec  # the task: networks, losses, penalties
    g_optimizer: Spec  # optimiser of the generator
    d_optimizer: Spec | None = None  # optimiser of the discriminator; none for a task without one
    batch: int = 64  # images per optimiser step, over all processes and accumulation
    images: int = 200_000  # planned length of the run; schedules are fractions of it
    d_steps: int | Spec = 1  # discriminator updates per step of the game, or a rule
    g_steps: int = 1  # generator updates per step of the game
    accumulate: int = 1  # parts of a batch, computed one after another to save memory
    d_warmup_images: int = 0  # images the discriminator sees before the generator starts
    lr_schedule: Spec | None = None  # factor on both learning rates over the run
    clip_norm: float | None = None  # largest gradient norm per player; none: no clipping
    beta2: Spec | None = None  # schedule of Adam's second beta, for both players
    freeze_d: int = 0  # stages of the discriminator, from the image on, whose weights are not trained
    ema_images: float | Spec = 10_000.0  # half-life of the averaged generator, or a schedule of it
    ema_ramp: float = 0.1  # the half-life is at most this share of the images seen so far
    sync_batch_norm: bool = False  # batch statistics over all processes
    transforms: list[Spec] = field(default_factory=list)  # random changes to the real images
    degradation: Spec | None = None  # degradation of the images, for a task that restores them
    patch: int = 0  # side of the squares cut from images at their own resolution; 0: images are seen whole

    def set(self, path: str, text: str) -> None:
        """Override one option by its dotted path; a path that is not the recipe's own is the task's."""
        hints, (head, _, rest) = typing.get_type_hints(Recipe), path.partition(".")
        if head == "task" and rest:
            head, rest, path = "", "", rest
        if head in hints and rest:
            _set_inside(getattr(self, head), rest, text, path)
        elif head in hints:
            setattr(self, head, parse(text, hints[head], path))
        elif (head := path.partition(".")[0]) in (known := options(self.task.target)):
            self.task.set(path, text)
        else:
            near = did_you_mean(head, [*hints, *(k for k in known if k not in DECIDED_ELSEWHERE)])
            raise UsageError(f"There is no option {head!r}.{near} `ganvas show RECIPE` lists them all.")

    def copy(self) -> "Recipe":
        """A copy that can be changed without touching this one."""
        return replace(self, **{f.name: _copied(getattr(self, f.name)) for f in fields(self)})

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON."""
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], trust: tuple[type, ...] = ()) -> "Recipe":
        """Read what `to_dict` wrote; raises `UserError` for unknown options and classes."""
        hints = typing.get_type_hints(cls)
        unknown = sorted(set(saved) - set(hints))
        if unknown or not isinstance(saved.get("task"), dict):
            raise UserError(f"This is not a recipe of ganvas: {', '.join(unknown) or 'it has no task'}.")
        values = {k: decode(v, trust) for k, v in saved.items()}
        for name, value in values.items():
            if not accepts(hints[name], value):
                raise UserError(f"The recipe's {name} must be {type_name(hints[name])}, got {value!r}.")
        return cls(**values)
