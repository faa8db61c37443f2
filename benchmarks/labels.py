"""Whether conditional models draw what they are asked for, and how well classifiers name what they see.

    python benchmarks/labels.py --classifier runs/classifier runs/acgan runs/cgan       share of samples with the label
    python benchmarks/labels.py --classifier runs/classifier --codes runs/infogan       each code's most frequent class
    python benchmarks/labels.py --accuracy TEST_DATA runs/classifier runs/semigan       share of test images named right

The classifier is a run of `ganvas train classifier` on the training images.
"""

from __future__ import annotations

import argparse

import torch

import ganvas
from ganvas.models.model import Model, accuracy

EACH = 500  # samples of a label


def seen(model: Model, judge: Model, label: int) -> torch.Tensor:
    """How often each class is seen in samples of one label."""
    found = judge.classify(model.sample(EACH, seed=1000 * label, label=label))
    return torch.bincount(found, minlength=len(judge.class_names)) / EACH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--classifier", help="a run that names classes")
    parser.add_argument("--codes", action="store_true", help="match codes to classes by majority")
    parser.add_argument("--accuracy", metavar="DATA", help="labelled data to test the runs on")
    asked = parser.parse_args()
    for run in asked.runs:
        model = ganvas.load(run)
        if asked.accuracy:
            print(f"{run}: {100 * accuracy(model, asked.accuracy):.2f} % of {asked.accuracy} named right")
            continue
        judge = ganvas.load(asked.classifier)
        shares = torch.stack([seen(model, judge, k) for k in range(len(judge.class_names))])
        agreed = shares.amax(1) if asked.codes else shares.diagonal()
        what = " ".join(f"{k}:{100 * share:.1f}" for k, share in zip(shares.argmax(1).tolist(), agreed.tolist()))
        print(f"{run}: {100 * agreed.mean():.2f} %   (most seen, share: {what})")


if __name__ == "__main__":
    main()
