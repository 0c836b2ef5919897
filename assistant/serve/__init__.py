"""Completions for a small team over HTTP, in OpenAI's form: `foretype serve`."""
