"""Trains a network from packed rows."""
