"""How fast pictures are painted by iterations, and how near a network comes to them.  Photographs: the embedded ones.

python benchmarks/style.py gatys --size 256      300 iterations against the plain loop, taken in turn
python benchmarks/style.py ways --size 256       what each way of going down reaches, and what an iteration costs
python benchmarks/style.py models RUN...         style loss at the same content loss, and speed, against gatys
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import ganvas
from ganvas import descent
from ganvas.data.embedded import photograph
from ganvas.gatys import Painting, judged, paint
from ganvas.metrics.style import Perception, Seen
from ganvas.pixels import to_float
from ganvas.policy import keep_large_buffers
from ganvas.resize import resize
from ganvas.restyling import Restyler
from ganvas.stylizing import Styles
from ganvas.tasks.restyling import Restyling

PAIRS = (("chelsea", "ihc"), ("china", "coffee"), ("astronaut", "hubble_deep_field"))
CONTENTS = ("chelsea", "astronaut", "coffee")


def square(name: str, size: int) -> Tensor:
    """The middle of an embedded photograph as (1, 3, size, size)."""
    array = photograph(name)
    assert array is not None
    side = min(array.shape[:2])
    top, left = ((n - side) // 2 for n in array.shape[:2])
    return resize(to_float(array[top : top + side, left : left + side])[None], (size, size)).clamp(-1, 1).contiguous()


def target_of(content: Tensor, style: Tensor, perception: Perception) -> Seen:
    with torch.no_grad():
        return Seen(perception(content).content, perception(style).style)


def plain(content: Tensor, target: Seen, perception: Perception, how: Painting) -> tuple[Tensor, float]:
    """The loop as most people write it: PyTorch's L-BFGS with its usual memory, one evaluation an iteration."""
    x = content.clone().requires_grad_()
    options = {"max_iter": how.iterations, "max_eval": 2 * how.iterations}
    optimizer = torch.optim.LBFGS([x], tolerance_grad=0, tolerance_change=0, **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total, _ = judged(x, target, perception, how)
        total.backward()
        return total

    optimizer.step(closure)
    with torch.no_grad():
        return x.detach(), float(judged(x, target, perception, how)[0])


def reached(content: Tensor, target: Seen, perception: Perception, how: Painting, loss: float) -> tuple[int, float]:
    """Iterations and seconds until ganvas' loop is at a loss; at most those of `how`."""
    way, x, began = descent.WAYS[how.optimizer](), content.clone(), time.perf_counter()
    for k in range(how.iterations + 1):
        x.requires_grad_()
        total, _ = judged(x, target, perception, how)
        if float(total) <= loss or k == how.iterations:
            break
        (gradient,) = torch.autograd.grad(total, x)
        x = x.detach() + way.change(gradient)
    return k, time.perf_counter() - began


def gatys(size: int, iterations: int, pairs: int) -> None:
    """Both loops on each pair in turn: time of all iterations, final losses, and time to the plain loop's loss."""
    perception, how, ratios = Perception(), Painting(iterations=iterations), []
    for content_name, style_name in PAIRS[:pairs]:
        content, style = square(content_name, size), square(style_name, size)
        target, began = target_of(content, style, perception), time.perf_counter()
        _, loss = plain(content, target, perception, how)
        slow = time.perf_counter() - began
        began = time.perf_counter()
        ours = paint(content, [style], perception, how)
        fast = time.perf_counter() - began
        steps, seconds = reached(content, target, perception, how, 1.02 * loss)
        ratios.append(slow / seconds)
        print(
            f"{content_name} as {style_name}: plain {slow:.1f} s to {loss:.4f}; ours {fast:.1f} s to {ours.total:.4f},"
            f" {seconds:.1f} s ({steps} iterations) to within 2 % of the plain one: x {slow / seconds:.2f}",
            flush=True,
        )
    print(f"median x {statistics.median(ratios):.2f}")


def ways(size: int, iterations: int, pairs: int) -> None:
    """Loss after a third, two thirds and all of the iterations, and the median time of one, by way."""
    known: dict[str, Callable[[], descent.Way]] = {
        "L-BFGS, 100 pairs": lambda: descent.LBFGS(memory=100),
        "L-BFGS, 20 pairs": lambda: descent.LBFGS(memory=20),
        "L-BFGS, 50 pairs": lambda: descent.LBFGS(memory=50),
        "the same, frequencies evened (power 0.5)": lambda: descent.Evened(descent.LBFGS(memory=50)),
        "the same, power 1": lambda: descent.Evened(descent.LBFGS(memory=50), power=1.0),
        "Adam": descent.Adam,
    }
    perception, how = Perception(), Painting(iterations=iterations)
    for content_name, style_name in PAIRS[:pairs]:
        content, style = square(content_name, size), square(style_name, size)
        target = target_of(content, style, perception)
        for name, make in known.items():
            way, x, took, losses = make(), content.clone(), [], []
            for k in range(iterations + 1):
                began = time.perf_counter()
                x.requires_grad_()
                total, _ = judged(x, target, perception, how)
                (gradient,) = torch.autograd.grad(total, x)
                middle = time.perf_counter()
                x = x.detach() + way.change(gradient)
                took.append((middle - began, time.perf_counter() - middle))
                if k and k % max(1, iterations // 3) == 0:
                    losses.append(f"{float(total):.4f}")
            gradient_ms, step_ms = (1000 * statistics.median(part) for part in zip(*took))
            print(
                f"{content_name} as {style_name}, {name}: {', '.join(losses)};"
                f" gradient {gradient_ms:.0f} ms, step {step_ms:.0f} ms",
                flush=True,
            )


def models(runs: list[str], size: int, iterations: int) -> None:
    """A network against iterations with several style weights, between which its content loss is looked up."""
    perception = Perception()
    for run in runs:
        model = ganvas.load(run, device="cpu")
        names = list(PAIRS) if isinstance(model.task, Restyling) else [(c, "ihc") for c in CONTENTS]
        for content_name, style_name in names:
            content, style = square(content_name, size), square(style_name, size)
            given = [style] if isinstance(model.task, Restyling) else []
            painter = Restyler(model, Styles(given, [1.0] * len(given)))
            painter.painted(content)
            began = time.perf_counter()
            made = painter.painted(content)
            fast = time.perf_counter() - began
            target = target_of(content, style, perception)
            with torch.no_grad():
                seen = perception(made)
                found = [float(f(seen, target)) for f in (perception.content_loss, perception.style_loss)]
            curve, slow = [], 0.0
            for weight in (3.0, 10.0, 30.0, 100.0, 300.0):
                began = time.perf_counter()
                one = paint(content, [style], perception, Painting(iterations=iterations, style_weight=weight))
                slow = time.perf_counter() - began
                curve.append((one.content, one.style))
            curve.sort()
            logs = np.log(np.array(curve))
            expected = float(np.exp(np.interp(np.log(found[0]), logs[:, 0], logs[:, 1])))
            print(
                f"{run}, {content_name} as {style_name}: content {found[0]:.4f}, style {found[1]:.5f};"
                f" gatys there {expected:.5f} (x {found[1] / expected:.2f}), {slow / fast:.0f} times slower",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("gatys", "ways", "models"))
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=len(PAIRS))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_large_buffers()
    if asked.what == "models":
        models(asked.runs, asked.size, asked.iterations)
    else:
        {"gatys": gatys, "ways": ways}[asked.what](asked.size, asked.iterations, asked.pairs)


if __name__ == "__main__":
    main()
