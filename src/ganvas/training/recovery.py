"""Ways back to an earlier state: after a divergence, and where the doctor finds trouble (`--heal`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch

from ..doctor import Finding
from ..errors import UserError
from .recorder import Recorder

MAX_DIVERGENCES = 3
MAX_HEALS = 3  # times that a run returns to a state with lower learning rates

ADVICE = (
    "In a new run, try a lower learning rate (--set g_optimizer.lr=1e-4 --set d_optimizer.lr=1e-4), --precision fp32,"
    " or gradient clipping (--set clip_norm=1.0)."
)


def return_from_divergence(recorder: Recorder) -> str:
    """Return to the last good state with other random numbers; returns a notice.

    Raises `UserError` with advice after three times.
    """
    trainer, run, count = recorder.trainer, recorder.run, recorder.divergences + 1
    problem = f"A loss or gradient was not finite at {trainer.images:,} images; the step was not taken."
    if count > MAX_DIVERGENCES:
        raise UserError(f"{problem} It happened {count} times, so training ends here. {ADVICE}")
    recorder.restore(run.load_state())
    if recorder.plan.heal:
        _lower_rates(recorder, dict.fromkeys(trainer.players, 0.5 ** (count - recorder.divergences)))
    recorder.divergences = count
    torch.manual_seed(recorder.plan.seed + 1_000_003 * count)  # the same numbers would end the same way
    if recorder.writes:
        run.rewind_log(trainer.images)
    recorder.reread_log()
    rates = " and learning rates halved" if recorder.plan.heal else ""
    back = f"Back to the state at {trainer.images:,} images, with other noise{rates}"
    return f"{problem} {back} (try {count} of {MAX_DIVERGENCES})."


def heal(recorder: Recorder, trouble: Finding) -> str:
    """Return to the older of the states and apply the mildest cure from there; returns a notice, also in the log.

    Evidence takes time to gather: the newest state is likely to have the trouble in it.
    """
    trainer, run = recorder.trainer, recorder.run
    cure, heals = recorder.doctor.cure(trouble), recorder.heals + 1
    if heals > MAX_HEALS:
        return f"{trouble.trouble.capitalize()} again after {MAX_HEALS} cures; training goes on as it is."
    recorder.restore(run.load_state(oldest=True))
    recorder.heals, images = heals, trainer.images
    _lower_rates(recorder, cure)
    trainer.group.wait()  # every process has read before the first one writes
    rates = " and ".join(
        f"{name}_optimizer.lr x {p.lr_factor:g}" for name, p in trainer.players.items() if name in cure
    )
    action = f"back to the state at {images:,} images, with {rates}"
    if recorder.writes:
        run.rewind_log(images)
        run.rewind_states(images)
        cured = {**asdict(trouble), "action": action}
        run.append_log({"images": images, "seconds": recorder.seconds, "heal": cured})
    recorder.reread_log()
    trainer.group.first(recorder.save)
    return f"Healing {trouble.trouble}: {action} (cure {heals} of {MAX_HEALS})."


def _lower_rates(recorder: Recorder, factors: Mapping[str, float]) -> None:
    for name in factors.keys() & recorder.trainer.players.keys():
        recorder.trainer.players[name].lr_factor *= factors[name]
