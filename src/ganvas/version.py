"""The version, in a file that imports nothing, so that packaging and `--version` are instant."""

__version__ = "0.1.0"
