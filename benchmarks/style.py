"""How fast images are painted by iterations, and how near a network comes to them.  Photographs: the embedded ones.

python benchmarks/style.py gatys --size 256      300 iterations against the plain loop, taken in turn
python benchmarks/style.py ways --size 256       what each way of going down reaches, and what an iteration costs
python benchmarks/style.py models RUN...         style loss at the same content loss, and speed, against gatys
python benchmarks/style.py as-good RUN...        how many iterations a run of fast_style is as good as
python benchmarks/style.py sheet FAST ANY        docs/styled.jpg: photograph, style, fast_style, adain, 100 iterations

Seconds are those of the processor, which others on the machine change least: take one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import ganvas
from ganvas.data.builtin import read_photograph
from ganvas.features.gram import Perception, StyleFeatures
from ganvas.imaging.decode import to_float, to_uint8
from ganvas.imaging.resize import resize
from ganvas.inference import optimizers
from ganvas.inference.gatys import GatysOptions, objective, optimize_image
from ganvas.inference.styles import Styles
from ganvas.inference.stylize import NetworkStylizer
from ganvas.policy import keep_large_buffers
from ganvas.tasks.adain import AnyStyle

PAIRS = (("chelsea", "ihc"), ("china", "coffee"), ("astronaut", "hubble_deep_field"))
BLOCK = 10  # iterations that are timed together
CONTENTS = ("chelsea", "astronaut", "coffee")
WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10_000.0)  # of the style
ALPHAS = (0.1, 0.25, 0.5, 1.0)

Losses = tuple[float, float]


def square(name: str, size: int) -> Tensor:
    """The middle of an embedded photograph as (1, 3, size, size)."""
    array = read_photograph(name)
    assert array is not None
    side = min(array.shape[:2])
    top, left = ((n - side) // 2 for n in array.shape[:2])
    return resize(to_float(array[top : top + side, left : left + side])[None], (size, size)).clamp(-1, 1).contiguous()


def target_of(content: Tensor, style: Tensor, perception: Perception) -> StyleFeatures:
    with torch.no_grad():
        return StyleFeatures(perception(content).content, perception(style).style)


def plain(x: Tensor, target: StyleFeatures, perception: Perception, how: GatysOptions) -> Iterator[tuple[float, float]]:
    """The loop as most people write it: PyTorch's L-BFGS with its usual memory, one evaluation an iteration.

    Gives processor seconds and loss of every ten iterations.
    """
    x = x.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x], max_iter=BLOCK, max_eval=2 * BLOCK, tolerance_grad=0, tolerance_change=0)
    loss = 0.0

    def closure() -> Tensor:
        nonlocal loss
        optimizer.zero_grad()
        total, _ = objective(x, target, perception, how)
        total.backward()
        loss = float(total.detach())
        return total

    while True:
        began = time.process_time()
        optimizer.step(closure)
        yield time.process_time() - began, loss


def ours(x: Tensor, target: StyleFeatures, perception: Perception, how: GatysOptions) -> Iterator[tuple[float, float]]:
    """The same of ganvas' loop."""
    way = optimizers.OPTIMIZERS[how.optimizer]()
    while True:
        began = time.process_time()
        for _ in range(BLOCK):
            x = x.detach().requires_grad_()
            total, _ = objective(x, target, perception, how)
            (gradient,) = torch.autograd.grad(total, x)
            x = x.detach() + way.update(gradient)
        yield time.process_time() - began, float(total.detach())


def gatys(size: int, iterations: int, pairs: int) -> None:
    """Both loops, ten iterations of one after ten of the other: their losses, and the time to the plain one's last."""
    perception, how, ratios = Perception(), GatysOptions(), []
    for content_name, style_name in PAIRS[:pairs]:
        content, style = square(content_name, size), square(style_name, size)
        target = target_of(content, style, perception)
        loops = [loop(content, target, perception, how) for loop in (plain, ours)]
        taken = [[next(loop) for loop in loops] for _ in range(iterations // BLOCK)]
        (slow, losses), (fast, found) = (list(zip(*each)) for each in zip(*taken))
        each = statistics.median(a / b for a, b in zip(slow, fast))
        near = next((k + 1 for k, loss in enumerate(found) if loss <= 1.02 * losses[-1]), len(found))
        ratios.append(sum(slow) / sum(fast[:near]))
        print(
            f"{content_name} as {style_name}: plain {sum(slow):.1f} s to {losses[-1]:.4f}; ours {sum(fast):.1f} s to"
            f" {found[-1]:.4f}, {sum(fast[:near]):.1f} s ({near * BLOCK} iterations) to within 2 % of the plain one:"
            f" x {ratios[-1]:.2f}; an iteration {each:.2f} times faster",
            flush=True,
        )
    print(f"median x {statistics.median(ratios):.2f}")


def ways(size: int, iterations: int, pairs: int) -> None:
    """Loss after a third, two thirds and all of the iterations, and the median time of one, by way."""
    known: dict[str, Callable[[], optimizers.Optimizer]] = {
        "L-BFGS, 100 pairs": lambda: optimizers.LBFGS(memory=100),
        "L-BFGS, 20 pairs": lambda: optimizers.LBFGS(memory=20),
        "the same, frequencies evened": lambda: optimizers.FrequencyPreconditioned(optimizers.LBFGS()),
        "the same, power 1": lambda: optimizers.FrequencyPreconditioned(optimizers.LBFGS(), power=1.0),
        "Adam": optimizers.Adam,
    }
    perception, how = Perception(), GatysOptions(iterations=iterations)
    for content_name, style_name in PAIRS[:pairs]:
        content, style = square(content_name, size), square(style_name, size)
        target = target_of(content, style, perception)
        for name, make in known.items():
            way, x, took, losses = make(), content.clone(), [], []
            for k in range(iterations + 1):
                began = time.process_time()
                x.requires_grad_()
                total, _ = objective(x, target, perception, how)
                (gradient,) = torch.autograd.grad(total, x)
                middle = time.process_time()
                x = x.detach() + way.update(gradient)
                took.append((middle - began, time.process_time() - middle))
                if k and k % max(1, iterations // 3) == 0:
                    losses.append(f"{float(total.detach()):.4f}")
            gradient_ms, step_ms = (1000 * statistics.median(part) for part in zip(*took))
            print(
                f"{content_name} as {style_name}, {name}: {', '.join(losses)};"
                f" gradient {gradient_ms:.0f} ms, step {step_ms:.0f} ms",
                flush=True,
            )


def front(content: Tensor, style: Tensor, perception: Perception, iterations: int) -> tuple[list[Losses], float]:
    """Losses of content and style that iterations reach, from a tint to little content, and their seconds."""
    found, seconds = [], []
    for weight in WEIGHTS:
        began = time.process_time()
        one = optimize_image(content, [style], perception, GatysOptions(iterations=iterations, style_weight=weight))
        seconds.append(time.process_time() - began)
        found.append((one.content, one.style))
    return sorted(found), statistics.median(seconds)


def models(runs: list[str], size: int, iterations: int, pairs: int) -> None:
    """A network at several strengths against iterations, whose style loss at its content loss is looked up.

    Both by what the network was trained with.  Content beyond what the iterations had is said to be.
    """
    for run in runs:
        model = ganvas.load(run, device="cpu")
        any_style = isinstance(model.task, AnyStyle)
        perception = model.task.hidden[0] if any_style else model.task.perception.build()
        names = list(PAIRS) if any_style else [(c, "ihc") for c in CONTENTS]
        for content_name, style_name in names[:pairs]:
            content, style = square(content_name, size), square(style_name, size)
            given, target = [style] if any_style else [], target_of(content, style, perception)
            known, slow = front(content, style, perception, iterations)
            logs = np.log(np.array(known))
            before = float(perception.style_loss(perception(content), target))
            print(f"{run}, {content_name} as {style_name}: style {before:.5f} before", flush=True)
            for alpha in ALPHAS:
                painter = NetworkStylizer(model, Styles(given, [1.0] * len(given)), alpha)
                painter.stylize(content)
                began = time.process_time()
                made = painter.stylize(content)
                fast = time.process_time() - began
                with torch.no_grad():
                    seen = perception(made)
                    found = [float(f(seen, target)) for f in (perception.content_loss, perception.style_loss)]
                expected = float(np.exp(np.interp(np.log(found[0]), logs[:, 0], logs[:, 1])))
                beyond = "" if known[0][0] <= found[0] <= known[-1][0] else " at the nearest content"
                print(
                    f"  alpha {alpha:g}: content {found[0]:.4f}, style {found[1]:.5f}; gatys {expected:.5f}{beyond}"
                    f" (x {found[1] / expected:.2f}), {slow / fast:.0f} times slower",
                    flush=True,
                )


def as_good(runs: list[str], size: int) -> None:
    """How many iterations reach the loss a run of fast_style learnt to lower, for photographs it has not seen."""
    for run in runs:
        task = (model := ganvas.load(run, device="cpu")).task
        perception, style = task.perception.build(), square(task.style, size)
        how = GatysOptions(style_weight=task.style_weight / task.content_weight, smoothness=task.smoothness)
        for name in CONTENTS:
            x, way, count = (content := square(name, size)), optimizers.OPTIMIZERS["lbfgs"](), 0
            target = target_of(content, style, perception)
            with torch.no_grad():
                reached, seen = objective(model(content), target, perception, how)[0], perception(model(content))
                found = [float(f(seen, target)) for f in (perception.content_loss, perception.style_loss)]
            while (total := objective(x.requires_grad_(), target, perception, how)[0]) > reached:
                (gradient,) = torch.autograd.grad(total, x)
                x, count = x.detach() + way.update(gradient), count + 1
            content_loss, style_loss, all_of_it = *found, float(reached)
            print(
                f"{name}: content {content_loss:.3f}, style {style_loss:.5f}, all {all_of_it:.3f}: {count} iterations"
            )


def sheet(runs: list[str], size: int) -> None:
    """What is shown in the documentation: one run after the other, those of any style in the same."""
    known, style, rows = [ganvas.load(run, device="cpu") for run in runs], square("ihc", size), []
    for name in CONTENTS[::2]:
        content = square(name, size)
        given = [[style] if isinstance(model.task, AnyStyle) else [] for model in known]
        made = [ganvas.stylize(content, styles, model) for styles, model in zip(given, known)]
        painted = optimize_image(content, [style], Perception(), GatysOptions(iterations=100)).image
        rows.append(torch.cat([content, style, *made, painted], 3))
    Image.fromarray(to_uint8(torch.cat(rows, 2))[0]).save("docs/styled.jpg", quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("gatys", "ways", "models", "as-good", "sheet"))
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=len(PAIRS))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_large_buffers()
    if asked.what in ("sheet", "as-good"):
        {"sheet": sheet, "as-good": as_good}[asked.what](asked.runs, asked.size)
    elif asked.what == "models":
        models(asked.runs, asked.size, asked.iterations, asked.pairs)
    else:
        {"gatys": gatys, "ways": ways}[asked.what](asked.size, asked.iterations, asked.pairs)


if __name__ == "__main__":
    main()
