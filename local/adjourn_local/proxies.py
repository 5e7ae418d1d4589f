"""Keep connections to this machine away from proxies; those to other hosts go on using them."""

from collections.abc import Mapping

from adjourn.settings import LOOPBACK

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
_EXCEPTIONS = ("no_proxy", "NO_PROXY", "no_grpc_proxy")


def direct(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that exempt this machine from the proxies of an environment.

    They are read by gRPC and by Python's libraries, which do not agree on the case of names.

    Returns:
        The variables with what they exempt already; none if there is no proxy.
    """
    if not any(name.lower() in _PROXIES for name in environ):
        return {}
    return {name: _exempting(environ, name) for name in _EXCEPTIONS if _matters(environ, name)}


def _matters(environ: Mapping[str, str], name: str) -> bool:
    # gRPC reads its own variable instead of the others, if it is there.
    return name != "no_grpc_proxy" or name in environ


def _exempting(environ: Mapping[str, str], name: str) -> str:
    others = {"no_proxy": "NO_PROXY", "NO_PROXY": "no_proxy"}
    given = environ.get(name) or environ.get(others.get(name, ""), "")
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    missing = [] if "*" in hosts else sorted(LOOPBACK - set(hosts))
    return ",".join([*hosts, *missing])
