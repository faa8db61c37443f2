"""Trained models, from whatever file they come."""
