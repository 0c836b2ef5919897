"""A completion server of the user's choice, asked only when they have said so, byte for byte."""
