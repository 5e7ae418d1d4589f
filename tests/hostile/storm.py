"""Sends many hostile requests at a time and counts what comes back."""

import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.hostile.deployment import Deployment, Figures
from tests.hostile.generators.requests import KINDS, Attack, Target
from tests.hostile.wire import connected

SEED = os.environ.get("HOSTILE_SEED", "adjourn")
_SENDERS = 8
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One request, to be made again by its kind, its function and its number.

    Attributes:
        kind: Its class.
        function: To whom it is sent.
        number: Which of its kind it is.
        has_token: Whether it has a token that opens.
    """

    kind: str
    function: str
    number: int
    has_token: bool

    def request(self, target: Target) -> bytes:
        seed = f"{SEED} {self.kind} {self.function} {self.number} {self.has_token}"
        random = Random(seed)
        return KINDS[self.kind](Attack(random=random, target=target, has_token=self.has_token))


@dataclass
class Report:
    """What came back.

    Attributes:
        answers: How often which status came for which kind; 0 where the connection was closed.
        faults: What was answered with a status that is one.
        before: What the functions held before.
        after: What they held afterwards.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[tuple[Shot, int]] = field(default_factory=list)
    before: dict[str, Figures] = field(default_factory=dict)
    after: dict[str, Figures] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield a table of kinds and statuses, and the figures of the functions."""
        statuses = sorted({status for _, status in self.answers})
        yield f"{'':<12}" + "".join(f"{status or 'closed':>8}" for status in statuses)
        for kind in (*KINDS, ""):
            counts = [
                sum(n for (each, of), n in self.answers.items() if of == s and kind in {each, ""})
                for s in statuses
            ]
            yield f"{kind or 'all':<12}" + "".join(f"{count:>8,}" for count in counts)
        for name, before in self.before.items():
            after = self.after[name]
            yield (
                f"{name:<12}memory {before.rss_mb:.0f} -> {after.rss_mb:.0f} MB"
                f" (peak {after.peak_mb:.0f}), threads {before.threads} -> {after.threads}"
            )


def targets(deployment: Deployment) -> dict[str, Target]:
    """Return what an attacker may know of each function."""
    mint = deployment.stack.issuer.mint
    urls = {name: function.url for name, function in deployment.functions.items()}
    return {
        name: Target(
            name=name,
            port=function.port,
            good=deployment.token(name),
            others=[
                mint("mallory@evil.example", function.url),
                *(deployment.token(each) for each in urls if each != name),
                mint("ann@shop.example", function.url),
            ],
            person=deployment.persons_token() if name == "deferred" else "",
        )
        for name, function in deployment.functions.items()
    }


def shots(count: int, *, has_token: bool) -> Iterator[Shot]:
    """Yield so many requests, evenly of all kinds to all functions."""
    kinds = [kind for kind in KINDS if not (has_token and kind == "tokens")]
    pairs = [(kind, name) for kind in kinds for name in ("deferred", "cron", "queryiter")]
    for n in range(count):
        kind, name = pairs[n % len(pairs)]
        yield Shot(kind=kind, function=name, number=n // len(pairs), has_token=has_token)


def storm(deployment: Deployment, count: int, *, has_token: bool) -> Report:
    """Send requests and wait for all answers."""
    report = Report(before=_figures(deployment))
    aims = targets(deployment)

    def fire(shot: Shot) -> tuple[Shot, Sequence[int]]:
        target = aims[shot.function]
        return shot, exchange(target.port, shot.request(target))

    with ThreadPoolExecutor(_SENDERS) as pool:
        for shot, statuses in pool.map(fire, shots(count, has_token=has_token)):
            for status in statuses or (0,):
                report.answers[shot.kind, status] += 1
                if status >= 500 or (not has_token and 200 <= status < 300):
                    report.faults.append((shot, status))
    report.after = _figures(deployment)
    return report


def exchange(port: int, request: bytes) -> list[int]:
    """Send bytes, then nothing more; return the statuses of all answers."""
    received = b""
    with connected(port, _PATIENCE) as connection:
        # The answer may come, and the connection end, before the rest is sent.
        with suppress(OSError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    return list(_statuses(received))


def _statuses(received: bytes) -> Iterator[int]:
    while received.startswith(b"HTTP/1.") and b"\r\n\r\n" in received:
        top, _, received = received.partition(b"\r\n\r\n")
        lines = top.split(b"\r\n")
        status = int(lines[0].split()[1])
        length = next(
            (int(each[15:]) for each in lines if each.lower().startswith(b"content-length:")), 0
        )
        received = received[length:]
        if status != 100:
            yield status


def _figures(deployment: Deployment) -> dict[str, Figures]:
    return {name: function.figures() for name, function in deployment.functions.items()}
