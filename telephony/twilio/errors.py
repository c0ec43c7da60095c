from __future__ import annotations


class TelephonyError(Exception):
    """The carrier refused or did not answer. `retryable` says whether the same request may succeed later."""

    def __init__(
        self, message: str, *, retryable: bool, status: int | None = None, provider_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.provider_code = provider_code


class NotFoundError(TelephonyError):
    """The carrier knows no such thing."""


class NotConfiguredError(TelephonyError):
    """No account is configured."""
