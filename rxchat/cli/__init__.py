"""The programs behind `python -m rxchat`, a file for each; none knows another."""
