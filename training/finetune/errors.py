"""Why a repository is not tuned on. Every message is one line that says how to mend it."""


class TuneError(ValueError):
    """Something that the user can see and mend."""
