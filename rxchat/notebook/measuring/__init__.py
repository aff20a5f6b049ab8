"""Many runs: asked in turn, kept as a table, drawn as charts."""
