"""Weight files of other projects."""
