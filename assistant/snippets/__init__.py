"""Code of other files for the network's prompt."""
