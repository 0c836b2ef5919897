"""`foretype tune`: a model of one repository, kept only if later commits say that it is better."""
