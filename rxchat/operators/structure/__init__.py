"""Text in, values out: JSON while it grows, and types."""
