"""What finished models do to images."""
