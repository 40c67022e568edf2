"""One door to the network: a connection to an address of a private network is refused, whoever asks for it.

It stands where connections are made, so that redirects, names that resolve to something else the second time, and
libraries with clients of their own all pass through it.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


class PrivateAddressError(OSError):
    """A connection that would lead into a private network."""


def is_public(host: str) -> bool:
    """Whether a numeric address is one of the public network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (mapped is None or mapped.is_global)


def guard(allowed: frozenset[str] = frozenset()) -> None:
    """Refuse private addresses in this process from now on, but for some (a proxy's)."""

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            raise PrivateAddressError("a private address: not one of the internet")
        host = str(address[0])
        numeric = {str(info[4][0]) for info in socket.getaddrinfo(host, None)} if not _is_numeric(host) else {host}
        for one in sorted(numeric - allowed):
            if not is_public(one):
                raise PrivateAddressError(f"a private address: {one}")

    def connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        _connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return _connect_ex(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign,assignment]


def unguard() -> None:
    """Let every address through again."""
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]


def addresses_of(host: str) -> frozenset[str]:
    """What a name resolves to; nothing when it does not."""
    try:
        return frozenset(str(info[4][0]) for info in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
