"""Entry point of `python -m ganvas`, also for torchrun."""

from .cli import main

main()
