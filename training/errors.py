"""What the commands that make models report in one line."""


class TrainingError(ValueError):
    """Something that a user can mend; the message says what."""
