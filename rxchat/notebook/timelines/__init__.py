"""Timelines of real runs: recorded while they happen, drawn when somebody looks."""
