"""Models as files for other tools and machines."""
