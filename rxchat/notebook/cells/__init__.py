"""Live cells: an answer that is drawn in a notebook while it comes, and stays there as HTML."""
