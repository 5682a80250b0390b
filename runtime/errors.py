"""What can go wrong while serving, as one tree.

EngineError
├── InvalidRequestError     the caller's mistake; fails alone, before any token (HTTP 400)
├── NotFoundError           what the request names is not here (HTTP 404)
├── QueueFullError          too many requests wait already (HTTP 503)
├── RequestTimeoutError     the request did not end within its `timeout_s` (HTTP 504)
├── ModelLoadError          the checkpoint or tokenizer cannot be used; says which file and tensor
└── EngineClosedError       the scheduler is gone, or the engine was closed
"""

from __future__ import annotations


class EngineError(Exception):
    """Root of the runtime's errors.

    Attributes:
        status: the HTTP status that it becomes.
        retry_after_s: when it is worth another try, in seconds, where that is known.
    """

    status = 500
    retry_after_s: float | None = None


class InvalidRequestError(EngineError, ValueError):
    """A request that cannot be served as it stands; it names the field and what is allowed."""

    status = 400


class NotFoundError(EngineError):
    """What the request names is not here."""

    status = 404


class QueueFullError(EngineError):
    """The waiting queue has reached `max_queued_requests`, or that of grammars its own bound."""

    status = 503


class RequestTimeoutError(EngineError):
    """The request did not end within its `timeout_s`, and what it was doing has been stopped."""

    status = 504


class ModelLoadError(EngineError):
    """A checkpoint, its configuration or its tokenizer cannot be used."""


class EngineClosedError(EngineError):
    """The engine was closed, or its scheduler ended."""

    status = 503
