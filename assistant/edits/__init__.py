"""The next edit: what was just changed, and where the same change is due."""

ASKED = "asked"  # beside the levels of `show`: for who asks by hand, and looks at what comes
