"""What an answer comes to: one value, a count, a price, a file, a comparison."""
