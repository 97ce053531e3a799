"""What a request may cost, and who may ask."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep a busy or a hostile day from becoming a crash. The memory for pictures is bounded by them too:
    about `threads` x `max_pixels` x 9 bytes.
    """

    #: of a whole request
    max_body_bytes: int = 16 * 2**20
    #: of one picture, unpacked
    max_pixels: int = 25_000_000
    #: searches at once; more wait
    threads: int = 8
    #: requests that may wait; the next is told to come back (429)
    max_waiting: int = 32
    #: pictures embedded at once
    max_batch: int = 16
    #: for an answer, from when the request was read
    timeout_s: float = 30.0
    #: for a request to arrive: its head, and then its body
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    #: for requests under way when the service is stopped
    grace_s: int = 30
    connections: int = 512
    #: per client address; 0 is no limit
    requests_per_minute: int = 0
    #: answers kept, and shown again for the same question until the index changes
    cached_answers: int = 128
    max_feedback_bytes: int = 64 * 2**20
    max_poor_queries: int = 500
    max_poor_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service is run."""

    limits: Limits = field(default_factory=Limits)
    #: who knows one of them may ask; none: everybody
    api_keys: tuple[str, ...] = ()
    #: whether items may be added and removed
    writable: bool = False
    #: JSONL file for thumbs up and down; None: they are not asked for
    feedback: Path | None = None
    #: folder for queries that were answered poorly, their pictures too; None: they are forgotten
    poor_queries: Path | None = None
    #: names this service may be called by; empty: any (a page elsewhere can point a name of its own at 127.0.0.1)
    hosts: tuple[str, ...] = ()
