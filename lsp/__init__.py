"""The language server: protocol messages in, suggestions out; knows nothing of the network."""
