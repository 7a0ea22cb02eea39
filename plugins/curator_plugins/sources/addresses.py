"""Which addresses of the network may be connected to.

A recipe may come from anybody, and so may a redirect or a feed's link: none of them is to reach a router, a
cloud's metadata service or a database behind the firewall. A name is resolved once, every address is checked,
and the connection goes to an address that was checked, so a name that resolves to something else a moment
later gains nothing.

Public is what `ipaddress` calls global, without multicast; of IPv6 only 2000::/3, which leaves out IPv4 in
other clothes (::ffff:0:0/96, ::/96, local NAT64), site-local and link-local; 6to4 and NAT64's well-known
prefix are what the IPv4 address inside them is.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from curator import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateAddress(OSError):
    """A name or an address that leads to where nothing may be fetched from."""


class Addresses:
    """The public addresses, and those of the networks in `private`; True is all there are."""

    def __init__(self, private: bool | Sequence[str] = False) -> None:
        self.everything = private is True
        try:
            self.networks = (
                [ipaddress.ip_network(name) for name in private or ()] if private is not True else []
            )
        except ValueError as error:
            raise UsageError(
                f"allow_private: {error}; name networks as 10.0.0.0/8, or true for all"
            ) from None

    def allows(self, address: str) -> bool:
        """Whether the address, as `getaddrinfo` gives it, may be connected to."""
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return self.everything or any(found in network for network in self.networks) or is_public(found)

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host; raises PrivateAddress where one may not be connected to, or OSError.

        One forbidden address condemns the name: who gives it both is trying something.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # a label of more than 63 characters
            raise OSError(f"{host!r} is no host name: {error}") from None
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        for address in addresses:
            if not self.allows(address):
                raise PrivateAddress(refusal(host, address))
        return addresses


def refusal(host: str, address: str) -> str:
    """Why a host is not connected to, and what to do if it should be."""
    at = "" if host == address else f" is at {address}, which"
    return f"{host}{at} is no public address; allow_private: true, or a list of networks, allows it"


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address in NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour:
        return is_public(address.sixtofour)
    return address in UNICAST and address.is_global
