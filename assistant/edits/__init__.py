"""The next edit: what was just changed, and where the same change is due."""
