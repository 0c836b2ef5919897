"""Replays a repository's own later commits: what would have been suggested while typing them."""
