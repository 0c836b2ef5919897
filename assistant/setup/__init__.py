"""`foretype setup`: the few lines that make an editor start foretype, shown or written."""
