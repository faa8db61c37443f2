"""Trained models from runs, model folders and weight files."""
