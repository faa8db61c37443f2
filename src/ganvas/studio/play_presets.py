"""Presets of the playground that teach: two sentences and settings; a test trains each one's claim."""

from .play_settings import Discriminator, Network, Settings, Strict


class Preset(Strict):
    """A lesson: its name, what to look for, why it happens, and the settings."""

    name: str
    look: str
    why: str
    settings: Settings


CROWDED = Settings(data="ring", batch=64, g_lr=0.01, d_lr=0.01, discriminator=Discriminator(frequencies=2))
DUEL = Settings(data="ring", batch=64, d_steps=5, d_lr=0.01, discriminator=Discriminator(frequencies=3))
STEADY = Settings(data="gaussians", batch=64, g_lr=0.01, d_lr=0.01, discriminator=Discriminator(frequencies=1))
OPENING = STEADY.model_copy(update={"penalty": "r1", "weight": 0.2})  # learns within two seconds and stays

PRESETS = (
    Preset(
        name="Mode collapse",
        look="The fakes gather on one or two of the groups, and the others stay empty.",
        why="A generator that learns fast wins the moment by the one place where the discriminator errs, and a"
        " discriminator that sees one point at a time cannot object that all fakes are alike.",
        settings=CROWDED,
    ),
    Preset(
        name="Minibatch discrimination against collapse",
        look="The same players with a head that compares the points of a batch, and a little R1: the fakes spread, and"
        " come to lie on most of the groups.",
        why="Fakes that lie together are recognised as alike.  Without the small penalty the head would win at once;"
        " with the penalty alone, the fakes stay farther from the data.",
        settings=CROWDED.model_copy(
            update={
                "penalty": "r1",
                "weight": 0.02,
                "discriminator": Discriminator(frequencies=2, head="minibatch_discrimination"),
            }
        ),
    ),
    Preset(
        name="Vanishing gradient",
        look="The discriminator is nearly always right, and the arrows at the fakes shrink to nothing.",
        why="With the minimax loss, log(1 - D), a fake that is surely recognised has a gradient near zero; choose the"
        " non-saturating loss, and the arrows come back.",
        settings=DUEL.model_copy(update={"loss": "minimax", "g_lr": 0.0005}),
    ),
    Preset(
        name="What R1 does",
        look="The map becomes flat, the arrows shrink, and the fakes come closer to the data; without the penalty"
        " they are pushed about by steep slopes.",
        why="R1 penalizes the slope of the discriminator at the data, so that it is flat where the fakes arrive.",
        settings=OPENING,
    ),
    Preset(
        name="Discriminator too strong",
        look="The discriminator's loss falls towards zero and the generator's rises and rises.",
        why="Five quick updates of the discriminator for one slow one of the generator: wherever the fakes go, they are"
        " recognised at once.",
        settings=DUEL.model_copy(update={"g_lr": 0.001}),
    ),
    Preset(
        name="Oscillation",
        look="The fakes circle around the middle of the data and never arrive.",
        why="Both players are linear and take plain gradient steps, so each answers the other's last move and neither"
        " loses speed; a penalty (R1, say) brings them to rest.",
        settings=Settings(
            data="gaussians", loss="wasserstein", g_optimizer="sgd", d_optimizer="sgd", g_lr=0.05, d_lr=0.05, batch=64,
            generator=Network(layers=0), discriminator=Discriminator(layers=0),
        ),
    ),
)  # fmt: skip
