"""Whom to ask, when, how often and for how long; and who hears the answer."""
