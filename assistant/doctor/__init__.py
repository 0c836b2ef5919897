"""`foretype doctor`: what is installed and how well it works, each fault with its remedy."""
