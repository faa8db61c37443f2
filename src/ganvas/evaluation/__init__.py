"""Evaluation: metrics by name over two sides, every result with the protocol it was measured by."""
