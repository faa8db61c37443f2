"""Settings of the playground and the recipe that they stand for."""

from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..api import Dataset, Recipe, Spec, UserError, open_source, options, points_dataset
from ..catalog import HEADS, LOSSES, NETWORKS, OPTIMIZERS, PENALTIES, TASKS
from ..describe import entry

Share = Annotated[float, Field(ge=0, le=1)]
Coordinate = Annotated[float, Field(ge=-1, le=1)]
DATA = ("ring", "grid", "gaussians", "line", "swissroll", "drawn")
HEADS_FOR_POINTS = ("plain", "minibatch_discrimination", "minibatch_stddev")
OTHER_OUTPUTS = ("energy_margin", "boundary_equilibrium", "top_k", "weighted")  # need an autoencoder, or wrap a loss
FOR_POINTS = (
    "r1",
    "r2",
    "gradient_penalty",
    "dragan",
    "lecam",
    "weight_clipping",
    "orthogonal",
    "historical_averaging",
)
REBUILD = ("data", "drawn", "latent", "prior", "seed", "generator", "discriminator")  # fields of a new beginning
MOST_CHANGES = 1000  # of one film


class Strict(BaseModel):
    """A model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Network(Strict):
    """Hidden layers of one player."""

    layers: Annotated[int, Field(ge=0, le=5)] = 2
    width: Annotated[int, Field(ge=1, le=128)] = 32
    activation: Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid"] = "leaky_relu"


class Discriminator(Network):
    """Hidden layers of the discriminator, its spectral norm, its head, and the octaves of sines it sees."""

    spectral: bool = False
    head: str = "plain"
    frequencies: Annotated[int, Field(ge=0, le=6)] = 0


Player = Literal["", "d", "g"]  # that moves alone; "": both


class Change(Strict):
    """Values of live settings from a step on, and the player that moves alone from there on ("" for both)."""

    step: Annotated[int, Field(ge=0, le=10**9)]
    only: Player = ""
    values: dict[str, str | int | float] = {}


class Settings(Strict):
    """Everything that decides a film of the playground: what it begins with, and what changes at which step."""

    data: Literal[*DATA] = "ring"  # type: ignore[valid-type]
    drawn: Annotated[list[tuple[Coordinate, Coordinate]], Field(max_length=20_000)] = []
    latent: Literal[1, 2] = 2
    prior: Literal["normal", "uniform"] = "normal"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    generator: Network = Network(activation="relu")
    discriminator: Discriminator = Discriminator()
    loss: str = "non_saturating"
    penalty: str = ""
    weight: Annotated[float, Field(ge=0, le=100)] = 0.1
    g_optimizer: str = "adam"
    d_optimizer: str = "adam"
    g_lr: Annotated[float, Field(gt=0, le=10)] = 0.002
    d_lr: Annotated[float, Field(gt=0, le=10)] = 0.002
    g_steps: Annotated[int, Field(ge=0, le=10)] = 1
    d_steps: Annotated[int, Field(ge=0, le=10)] = 1
    batch: Annotated[int, Field(ge=8, le=1024)] = 128
    changes: Annotated[list[Change], Field(max_length=MOST_CHANGES)] = []

    @model_validator(mode="after")
    def check_changes(self) -> Self:
        """Check the values of each change as the settings are checked, and that steps ascend."""
        values, last = self.live, 0
        for change in self.changes:
            if change.step < last:
                raise ValueError(f"a change at step {change.step} follows one at step {last}; their steps ascend")
            if others := [name for name in change.values if name not in values]:
                raise ValueError(f"{others[0]} cannot change while a film plays; {', '.join(values)} can")
            values = Settings.model_validate(values | change.values).live
            last, change.values = change.step, {name: values[name] for name in change.values}
        return self

    @property
    def live(self) -> dict[str, Any]:
        """The settings that may change while a film plays, by name."""
        return {name: getattr(self, name) for name in Settings.model_fields if name not in (*REBUILD, "changes")}

    def after(self, changes: list[Change]) -> "Settings":
        """The settings that act after some changes, which are not part of them."""
        values = {name: value for change in changes for name, value in change.values.items()}
        return self.model_copy(update={**values, "changes": []})

    def dataset(self) -> Dataset:
        """The points to learn; raises `UserError` if nothing was drawn."""
        return points_dataset(self.drawn) if self.data == "drawn" else open_source(self.data)

    @property
    def only(self) -> str:
        """The player that moves alone, "d" or "g", if the other has no steps."""
        return "g" if not self.d_steps else "d" if not self.g_steps else ""

    def recipe(self) -> Recipe:
        """The recipe, which `ganvas train FILE --data NAME --seed SEED` trains in the same way.

        Raises `UserError` if no player has a step.
        """
        if not self.d_steps and not self.g_steps:
            raise UserError("Both players have 0 steps; give one of them at least 1.")
        critic, head = self.discriminator, _spec(HEADS, self.discriminator.head, HEADS_FOR_POINTS)
        if critic.head == "minibatch_discrimination":
            head = head.replace(kernels=8, dims=4)  # of a network of this size; also quick enough to be watched
        options = {"spectral": critic.spectral, "frequencies": critic.frequencies, "head": head, **_hidden(critic)}
        generator = {"latent": self.latent, "init": "kaiming", **_hidden(self.generator)}
        task = Spec(
            TASKS["generation"],
            generator=Spec(NETWORKS["mlp_generator"], **generator),
            discriminator=Spec(NETWORKS["mlp_leaky_discriminator"], **options),
            loss=_spec(LOSSES, self.loss, losses()),
            penalties=[penalty(self.penalty, self.weight)] if self.penalty else [],
            prior=self.prior,
        )
        return Recipe(
            task=task,
            g_optimizer=optimizer(self.g_optimizer, self.g_lr),
            d_optimizer=optimizer(self.d_optimizer, self.d_lr),
            d_steps=max(self.d_steps, 1),
            g_steps=max(self.g_steps, 1),
            batch=self.batch,
            images=1_000_000_000,
            ema_images=0.0,
        )


def _hidden(network: Network) -> dict[str, Any]:
    return {"width": network.width, "depth": network.layers, "activation": network.activation}


def losses() -> list[str]:
    """Losses that take a discriminator's logits as they are."""
    return [name for name in LOSSES if name not in OTHER_OUTPUTS]


def menus() -> dict[str, list[dict[str, str]]]:
    """Choices of the playground, from the catalogue: name and sentence."""
    shelves: dict[str, tuple[str, Any]] = {
        "loss": ("losses", losses()),
        "penalty": ("penalties", [name for name in PENALTIES if name in FOR_POINTS]),
        "head": ("heads", HEADS_FOR_POINTS),
        "optimizer": ("optimizers", list(OPTIMIZERS)),
        "data": ("data", [name for name in DATA if name != "drawn"]),
    }
    rows = {menu: [entry(shelf, name)._asdict() for name in names] for menu, (shelf, names) in shelves.items()}
    activations = get_args(get_type_hints(Network)["activation"])
    return rows | {"activation": [{"name": name, "sentence": ""} for name in activations]}


def optimizer(name: str, rate: float) -> Spec:
    """An optimiser with a learning rate; Adam without momentum, as GANs are trained."""
    spec = _spec(OPTIMIZERS, name, list(OPTIMIZERS)).replace(lr=rate)
    return spec.replace(betas=(0.0, 0.99)) if name in ("adam", "adamw") else spec


def penalty(name: str, weight: float) -> Spec:
    """A penalty with its strength, under whatever name its option has."""
    spec = _spec(PENALTIES, name, FOR_POINTS)
    strength = next(k for k in ("gamma", "weight", "bound") if k in options(spec.target))
    return spec.replace(**{strength: weight})


def _spec(shelf: Any, name: str, allowed: Any) -> Spec:
    if name not in allowed:
        raise UserError(f"The playground has no {name!r}; it has: {', '.join(allowed)}.")
    return Spec(shelf[name])
