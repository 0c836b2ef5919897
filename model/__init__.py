"""The network, its text format and its runtimes; knows nothing of editors, files or training."""
