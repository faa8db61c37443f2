"""Whether bf16 trains as float32 does: loss curves of 100 steps, bf16 against the spread of float32 over seeds.

    python benchmarks/bf16_curves.py [--data photos] [--resolution 64] [--steps 100] [--seeds 4]

For each seed, the distance (root mean square over the steps, smoothed over ten) of the bf16 curve from the nearest
float32 curve of another seed, beside the distances among the float32 curves themselves.
"""

from __future__ import annotations

import argparse
import json

import torch

from ganvas import api
from ganvas.errors import UserError
from ganvas.training.recorder import Stepped


def curve(args, seed, precision):
    """Both losses at every step: (2, steps)."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        options = {"images": args.batch * args.steps, "batch": args.batch, "resolution": args.resolution}
        request = api.TrainRequest(args.recipe, args.data, f"{place}/run", seed=seed, precision=precision, **options)
        request.set = args.set
        session = api.prepare(request)
        session.recorder.log_images = 10**12
        rows = []
        for event in session:
            if isinstance(event, Stepped):
                line = session.trainer.read()
                rows.append([line["d/adversarial"], line["g/adversarial"]])
        session.close()
    return torch.tensor(rows).t()


def smooth(curves, width=10):
    return curves.unfold(-1, width, 1).mean(-1)


def distances(args):
    """Root-mean-square distances between smoothed curves, normalised by the spread of each loss."""
    seeds = range(args.seeds)
    full = torch.stack([smooth(curve(args, s, "fp32")) for s in seeds])  # (seeds, 2, steps)
    half = torch.stack([smooth(curve(args, s, "bf16")) for s in seeds])
    scale = full.std(0).mean(-1)[:, None].clamp(min=1e-6)  # (2, 1)

    def apart(a, b):
        return ((a - b) / scale).square().mean().sqrt().item()

    among = [apart(full[i], full[j]) for i in seeds for j in seeds if i < j]
    same = [apart(half[i], full[i]) for i in seeds]
    nearest = [min(apart(half[i], full[j]) for j in seeds) for i in seeds]
    return {"fp32_seeds_apart": among, "bf16_from_its_fp32": same, "bf16_from_nearest_fp32": nearest}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--data", default="photos")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    if args.seeds < 2:
        raise UserError("the spread over seeds needs at least two")
    found = distances(args)
    print(json.dumps({k: [round(v, 3) for v in values] for k, values in found.items()}))
    worst = max(found["bf16_from_its_fp32"])
    print(f"bf16 is at most {worst:.2f} from float32 of the same seed; float32 seeds are up to"
          f" {max(found['fp32_seeds_apart']):.2f} apart")  # fmt: skip


if __name__ == "__main__":
    main()
