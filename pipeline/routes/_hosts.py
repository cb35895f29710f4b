"""Hosts of this machine and of one's own networks, told by how they are written. Asks nobody."""

import ipaddress
import re

NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""What a resolver may take for an address, or a part of one, though it does not look like that."""
_NEAR = tuple(
    ipaddress.ip_network(text)
    for text in (
        *(
            "0.0.0.0/32",
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "100.64.0.0/10",
        ),
        *("::/128", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
_HOME_NAMES = (
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "home.arpa",
)


def is_home_name(name: str) -> bool:
    """A name that only this machine or its own network can answer to. In small letters, without a dot at the end."""
    return any(name == home or name.endswith(f".{home}") for home in _HOME_NAMES)


def is_near(host: str) -> bool:
    """Does what is sent there stay on this machine or in networks of one's own? A name without a dot does."""
    name = host.lower().strip("[]").removesuffix(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:  # no odd notation of an address is a name, and not every dot is written as one
        return is_home_name(name) or (name.isascii() and "." not in name and not NUMBER.fullmatch(name))
    plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((plain or address) in network for network in _NEAR)
