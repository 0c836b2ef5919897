"""Models of one's own: which there are, which is served in which repository."""
