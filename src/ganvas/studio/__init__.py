"""The studio: pages in the browser over the public API; nothing else in the package imports it."""
