"""Frozen networks that losses and metrics look through."""
