"""The keys that verify callers, and the clock by which tokens are judged."""

import datetime as dt
from email.utils import parsedate_to_datetime

import requests

from adjourn_local.doctor.finding import Deployment, Finding, State, fault, summed_up, unknown

KEYS, CLOCK = "keys", "clock"

_TIMEOUT = 20
# Tokens are accepted that were signed as much ahead of our clock (adjourn.requests.auth), and the
# header has whole seconds.
_SKEW = dt.timedelta(seconds=9)


def check(deployment: Deployment, now: dt.datetime | None = None) -> list[Finding]:
    """Return what is wrong with the keys and with this machine's clock.

    Args:
        deployment: The deployment.
        now: The time of this machine, if it is not to be asked.
    """
    url = deployment.settings.keys_url
    fix = "open the network to it, or correct ADJOURN_KEYS_URL (unset, it is Google's)"
    try:
        answer = requests.get(url, timeout=_TIMEOUT)
        answer.raise_for_status()
        keys = answer.json()
    except (requests.RequestException, ValueError) as error:
        return [
            fault(KEYS, f"The keys that verify callers cannot be fetched: {error}", fix),
            unknown(CLOCK, "Nobody told the time."),
        ]
    are_keys = isinstance(keys, dict) and "BEGIN CERTIFICATE" in "".join(map(str, keys.values()))
    found = [] if are_keys else [fault(KEYS, f"What {url} answers is no set of certificates.", fix)]
    fine = "Callers are verified by the keys that are published."
    return [*summed_up(KEYS, found, fine), _clock(answer, now or dt.datetime.now(dt.UTC))]


def _clock(answer: requests.Response, now: dt.datetime) -> Finding:
    if "Date" not in answer.headers:
        return unknown(CLOCK, "The server of the keys does not tell the time.")
    ahead = now - parsedate_to_datetime(answer.headers["Date"])
    if abs(ahead) <= _SKEW:
        return Finding(CLOCK, State.OK, f"This machine is {abs(ahead).total_seconds():.0f} s off.")
    which = "ahead" if ahead > dt.timedelta() else "behind"
    seconds = abs(ahead).total_seconds()
    text = f"This machine is {seconds:.0f} s {which}: tokens are refused, times are wrong."
    return fault(CLOCK, text, "sudo timedatectl set-ntp true")
