"""`python -m ganvas`, which is what torchrun starts."""

from .cli import main

main()
