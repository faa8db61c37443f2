"""Metrics of images as pure functions of tensors, each with its published conventions."""
