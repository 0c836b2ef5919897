"""What the commands that make models report in one line."""


class TrainingError(ValueError):
    """Something that a user can mend; the message says what."""


class TuneError(TrainingError):
    """Why a tuning ends without a model, in one line that says how to mend it."""


class TuneStoppedError(TuneError):
    """The user stopped the run; what was done is saved."""
