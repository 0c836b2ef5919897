"""Turns (document, cursor) into a suggestion; knows no protocol and no training."""
