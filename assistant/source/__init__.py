"""What a source text is: languages, trees, blocks, brackets, where a suggestion ends."""
