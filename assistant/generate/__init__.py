"""One request on its way: context, prompt, network, response."""
