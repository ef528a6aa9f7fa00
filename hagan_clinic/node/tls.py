"""TLS of the node: what it shows, and whom it trusts."""

import ssl
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.node.config import NodeConfig


def server_context(config: NodeConfig) -> ssl.SSLContext | None:
    """For those who call; with `tls_ca`, they must show a certificate that it signed.

    Raises:
        InputError: A file cannot be read or is no certificate or key.
    """
    if not config.tls_certificate:
        return None
    context = _Lazy(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, config.tls_certificate, config.tls_key, config.tls_ca)
    if config.tls_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(config: NodeConfig) -> ssl.SSLContext:
    """For the archive, which must show a certificate of `forward_ca`, or of the system's.

    Raises:
        InputError: As `server_context`.
    """
    context = ssl.create_default_context()
    if config.forward_ca:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, config.forward_certificate, config.forward_key, config.forward_ca)
    return context


class _Lazy(ssl.SSLContext):
    """Shakes hands when first read from, in the association's thread and under its timeout.

    Otherwise a peer that connects and says nothing would hold up all others.
    """

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **{**kwargs, "do_handshake_on_connect": False})


def _load(context: ssl.SSLContext, certificate: str, key: str, authority: str) -> None:
    try:
        if certificate:
            context.load_cert_chain(certificate, key or None)
        if authority:
            context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"the certificate, key or authority cannot be used ({error.strerror or error}); "
            f"expected PEM files, given {certificate or '-'}, {key or '-'}, {authority or '-'}"
        ) from error
