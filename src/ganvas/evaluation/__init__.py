"""One evaluator: measures by name over two sides, every number with the protocol it was measured by."""
