"""What is never read, completed, indexed or sent."""
