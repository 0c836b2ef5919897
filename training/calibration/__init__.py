"""Fitting of what ranks and gates suggestions, for one model folder."""
