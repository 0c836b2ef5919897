"""What `assistant` raises on purpose; str() of each is one line fit for a user.

AssistantError
  SettingsError     a setting is wrong; also a ConfigError, so also a ValueError
  ModelError        no usable model: missing, damaged, of another version
  PositionError     a cursor outside its document
"""

from model.config import ConfigError

__all__ = ["AssistantError", "ConfigError", "ModelError", "PositionError", "SettingsError"]


class AssistantError(Exception):
    """Anything raised on purpose; the message needs no traceback to be understood."""


class SettingsError(AssistantError, ConfigError):
    """A setting is unknown, of the wrong type, out of range, or not allowed from where it came."""


class ModelError(AssistantError, ValueError):
    """The model cannot be loaded; the message says why and how to mend it."""


class PositionError(AssistantError, ValueError):
    """A cursor outside its document; the message gives the valid range."""
