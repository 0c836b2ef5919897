"""Makes and judges models for the assistant; nothing imports this package."""
