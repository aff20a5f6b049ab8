"""Text in, text out: the same at any cut."""
