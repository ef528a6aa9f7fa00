"""Where results go: an archive by DIMSE (`AET@HOST:PORT`) or by DICOMweb (a URL)."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hagan_clinic.errors import InputError

_DIMSE = re.compile(r"(?P<aet>[^@\\]{1,16})@(?P<host>[^@\s]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class DimseDestination:
    """An archive that takes C-STORE."""

    aet: str
    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True)
class WebDestination:
    """An archive that takes STOW-RS at `url`, the service's root, without `/studies`."""

    url: str


Destination = DimseDestination | WebDestination


def parse_destination(text: str, *, tls: bool = False) -> Destination:
    """Read `AET@HOST:PORT`, or `https://…` (`http://` to this machine alone).

    Raises:
        InputError: It is neither.
    """
    if text.startswith(("https://", "http://")):
        parts = urlsplit(text)
        if parts.username or parts.password:
            raise InputError("forward holds a password; put a token into forward_token_file")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise InputError(
                f"forward is {text!r}, which would send patient data in clear; expected https://"
            )
        return WebDestination(text.rstrip("/").removesuffix("/studies"))
    match = _DIMSE.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise InputError(f"forward is {text!r}, expected AET@HOST:PORT or https://HOST/ROOT")
    return DimseDestination(match["aet"], match["host"].strip("[]"), int(match["port"]), tls)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which no other can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
