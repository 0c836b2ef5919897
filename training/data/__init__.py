"""From repositories to shards of training tokens."""
