"""The commands of daily use."""
