"""Exceptions: the code and the line of text that the library gave.

Each is a :class:`Error`, and what plain Python would raise as well, so that
``except ValueError`` and ``except MemoryError`` work.
"""

from __future__ import annotations


class Error(Exception):
    """A call failed. ``status`` is its code (``TKP_ERR_...``)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def code(self) -> str:
        """Name of the status, for example ``"TKP_ERR_SHAPE"``."""
        from . import _flat

        return _flat.tkpy_status_name(self.status)


class ArgumentError(Error, ValueError):
    """An argument is missing, out of range or of the wrong shape or dtype."""


class StateError(Error, RuntimeError):
    """Calls in the wrong order, or in two threads at once."""


class UnsupportedError(Error, NotImplementedError):
    """Legal, but this build or machine does not have it; the text says why."""


class OutOfMemoryError(Error, MemoryError):
    """Out of memory."""


class FileError(Error, OSError):
    """A file cannot be read or written."""


class Cancelled(Error):
    """A callback asked to stop."""


class NativeError(Error, RuntimeError):
    """The device failed, or the library did."""


class DataError(Error, ValueError):
    """Data hold values that nothing can be made of, such as NaN."""


class PolicyError(Error, ValueError):
    """The text of a policy is wrong: file, line, column, and what was wanted."""


class FormatError(Error, ValueError):
    """A model or image file is damaged."""


# Codes are grouped by ten (tokenprune/status.h); these stand out.
_SPECIAL = {
    16: StateError,
    30: OutOfMemoryError,
    31: FileError,
    32: Cancelled,
    42: DataError,
    52: FormatError,
}
_GROUPS = {
    1: ArgumentError,
    2: UnsupportedError,
    4: NativeError,
    5: PolicyError,
}


def error_of(status: int, message: str) -> Error:
    """The exception for a status; called by the native layer."""
    kind = _SPECIAL.get(status) or _GROUPS.get(status // 10, Error)
    return kind(status, message)
