"""What is cut from a suggestion before anyone sees it."""
