"""Why a tuning ends without a model. Every message is one line that says how to mend it."""


class TuneError(ValueError):
    """Something that the user can see and mend."""


class TuneStoppedError(TuneError):
    """The user stopped the run; what was done is saved."""
