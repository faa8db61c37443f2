"""Schedule-free AdamW: an average of the steps takes the place of a falling learning rate."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024, algorithm 1), which needs no schedule of the rate.

    Weights are y, where gradients are taken; `evaluation_point` gives x, the average of the steps, which the averaged
    generator follows.  Steps count by the square of the largest rate so far.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float = 2.5e-3,  # learning rate
        betas: tuple[float, float] = (0.9, 0.999),  # share of x in y, and decay of the squared gradients
        eps: float = 1e-8,  # added to the root of the squared gradients
        weight_decay: float = 0.0,  # decay of the weights at y
        warmup: int = 0,  # steps over which the rate rises from 0
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "warmup": warmup})
        if not 0 < betas[0] < 1 or not 0 <= betas[1] < 1:
            raise ValueError(f"betas are from 0 to 1, the first more than 0, got {betas}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every weight with a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad, group)
        return loss

    def _update(self, y: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[y], group["betas"]
        if not state:
            state |= {"step": 0, "largest_rate": 0.0, "weight_sum": 0.0}
            state |= {"z": y.clone(), "exp_avg_sq": torch.zeros_like(y)}
        state["step"] += 1
        count = state["step"]
        rise = min(count / group["warmup"], 1.0) if group["warmup"] else 1.0
        rate = group["lr"] * rise * (1 - beta2**count) ** 0.5
        state["largest_rate"] = max(state["largest_rate"], rate)
        state["weight_sum"] += state["largest_rate"] ** 2
        share = state["largest_rate"] ** 2 / state["weight_sum"] if state["weight_sum"] else 0.0
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        change = gradient / (square.sqrt() + group["eps"]) + group["weight_decay"] * y
        x = self.evaluation_point(y)
        z = state["z"].sub_(change, alpha=rate)
        y.copy_(torch.lerp(z, torch.lerp(x, z, share), beta1))

    def evaluation_point(self, y: Tensor) -> Tensor:
        """x of a weight: y = (1 - beta1) z + beta1 x; the weight itself before its first step."""
        z = self.state[y].get("z") if y in self.state else None
        if z is None:
            return y
        beta1: float = next(g["betas"][0] for g in self.param_groups if any(p is y for p in g["params"]))
        return torch.lerp(z, y, 1 / beta1)
