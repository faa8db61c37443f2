"""Training: from what was asked to a finished run folder."""
