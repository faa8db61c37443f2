"""What each process of test_distributed runs: train a few steps and write down what came of it.

torchrun --nproc_per_node N two_processes.py OUT RECIPES_JSON STEPS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from ganvas.config import Recipe
from ganvas.policy import Policy
from ganvas.training import distributed
from ganvas.training.players import Group
from ganvas.training.trainer import Trainer


class Fixed:
    """Data whose images depend on their position alone."""

    def stream(self, starts, count):
        for start in starts:
            source = torch.Generator()
            rows = [torch.rand(1, 8, 8, generator=source.manual_seed(start + k)) for k in range(count)]
            yield {"image": torch.stack(rows) * 2 - 1}


def threads() -> list[str]:
    """The names of this process's threads, where the system tells."""
    return [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]


def steps(recipe: Recipe, count: int, device: torch.device, group: Group) -> dict:
    """A few steps of a recipe: gradients, weights and terms."""
    torch.manual_seed(0)
    task = recipe.task.build(resolution=(8, 8), channels=1, classes=0)
    if group.world > 1:
        distributed.synchronise_batch_norm(task)
    trainer = Trainer(task, recipe, Fixed(), Policy(device), group=group)
    gradients = {}
    for _ in range(count):
        trainer.advance()
        for name, player in (("g", trainer.g), ("d", trainer.d)):
            gradients[name] = [p.grad.clone() for p in player.weights]
    terms = trainer.read()  # of all processes together
    return {"gradients": gradients, "task": task.state_dict(), "terms": terms}


def main(out: str, recipes: str, count: int) -> None:
    torch.set_num_threads(1)
    device = torch.device("cpu")
    group = distributed.Processes(device) if distributed.under_torchrun() else Group()
    made = [Recipe.from_dict(recipe) for recipe in json.loads(recipes)]
    came = [steps(recipe, count, device, group) for recipe in made]
    if group.rank == 0:
        torch.save(came, out)
    group.close()
    assert not [name for name in threads() if "gloo" in name]  # one that outlives it aborts at exit, at times


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
