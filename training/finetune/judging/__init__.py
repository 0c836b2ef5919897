"""Judges a tuned model beside its base on commits that it has never seen."""
