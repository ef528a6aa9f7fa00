"""What a site configures of its node, in one TOML file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.node.destination import Destination, is_loopback, parse_destination
from hagan_clinic.runtime.memory import parse_size
from hagan_clinic.settings_file import read_toml, typed

KEEP, SEND = "keep", "send"


@dataclass(frozen=True)
class NodeConfig:
    """Settings of the node; `docs/reference/node.md` describes each.

    Raises:
        InputError: A setting is out of its range.
    """

    spool: str = ""
    forward: str = ""
    aet: str = "HAGAN"
    host: str = "0.0.0.0"  # scanners and archives are other machines
    port: int = 11112
    callers: tuple[str, ...] = ()
    allow_any_caller: bool = False
    watch: str = ""

    silence: float = 60.0
    longest_open: float = 600.0
    trust_counts: bool = True
    max_associations: int = 20
    max_associations_per_peer: int = 10
    max_instance: str = "1GiB"
    max_in_flight: str = "2GiB"
    min_free: str = "1GiB"
    timeout: float = 60.0
    acse_timeout: float = 5.0

    model: str = "t1_to_flair"
    model_sha256: str = ""
    device: str = "auto"
    max_memory: str = ""
    threads: int = 0
    allow_contrast: bool = False
    warnings: str = KEEP
    attempts: int = 3

    retry_first: float = 5.0
    retry_longest: float = 300.0
    refusals: int = 10
    reject_superseded: bool = True
    commitment: bool = True
    commitment_wait: float = 3600.0

    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    forward_tls: bool = False
    forward_certificate: str = ""
    forward_key: str = ""
    forward_ca: str = ""
    forward_token_file: str = ""

    keep_done_days: float = 1.0
    keep_skipped_days: float = 1.0
    keep_failed_days: float = 14.0
    max_disk_share: float = 0.5

    http_port: int = 11180
    alert_url: str = ""
    alert_command: tuple[str, ...] = ()
    alert_every: float = 300.0

    def wait(self, tries: int) -> float:
        """Seconds until the next try, after so many that failed."""
        return min(self.retry_first * 2.0 ** min(tries - 1, 30), self.retry_longest)

    def __post_init__(self) -> None:
        for name in ("aet", *(["callers"] if self.callers else [])):
            value = getattr(self, name)
            for title in (value,) if isinstance(value, str) else value:
                _require(
                    0 < len(title.strip()) <= 16 and title.isascii() and title.isprintable(),
                    name,
                    title,
                    "an AE title of 1 to 16 ASCII characters",
                )
        for name in ("port", "http_port"):
            _require(0 <= getattr(self, name) < 65536, name, getattr(self, name), "a port")
        for name in (
            *("silence", "longest_open", "timeout", "acse_timeout", "retry_first", "attempts"),
            *("max_associations", "max_associations_per_peer"),
        ):
            _require(getattr(self, name) > 0, name, getattr(self, name), "more than 0")
        kept = ("keep_done_days", "keep_skipped_days", "keep_failed_days")
        for name in (*kept, "threads", "refusals", "alert_every"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(0 < self.max_disk_share <= 1, "max_disk_share", self.max_disk_share, "0 to 1")
        _require(self.warnings in (KEEP, SEND), "warnings", self.warnings, f"{KEEP} or {SEND}")
        _require(
            bool(self.tls_certificate) == bool(self.tls_key),
            "tls_certificate and tls_key",
            (self.tls_certificate, self.tls_key),
            "both or none",
        )
        _require(
            not self.alert_url or self.alert_url.startswith(("https://", "http://")),
            "alert_url",
            self.alert_url,
            "https://… or http://…",
        )
        parse_size(self.min_free)
        _require(
            self.max_in_flight_bytes >= self.max_instance_bytes,
            "max_in_flight",
            self.max_in_flight,
            f"max_instance, {self.max_instance}, or more",
        )
        if self.forward:
            _ = self.destination

    def check_callers(self) -> None:
        """Refuse to take images from whoever can reach this machine, unless that is meant.

        Raises:
            InputError: Nothing says who may send.
        """
        limited = self.callers or self.tls_ca or self.allow_any_caller
        if not limited and not is_loopback(self.host):
            raise InputError(
                f"whoever reaches {self.host} could send to the node; expected callers (or "
                '--caller TITLE), tls_ca, host = "127.0.0.1", or allow_any_caller = true'
            )

    @property
    def destination(self) -> Destination:
        """Where results go.

        Raises:
            InputError: `forward` names none.
        """
        return parse_destination(self.forward, tls=self.forward_tls)

    @property
    def max_instance_bytes(self) -> int:
        """Of one instance on the wire."""
        return parse_size(self.max_instance)

    @property
    def max_in_flight_bytes(self) -> int:
        """Of all instances that are being received."""
        return parse_size(self.max_in_flight)

    @property
    def min_free_bytes(self) -> int:
        """Below this, no instance is taken."""
        return parse_size(self.min_free)


def read_config(path: Path | None, **chosen: Any) -> NodeConfig:
    """The settings of a TOML file, overridden by those `chosen` that are not None.

    Raises:
        InputError: The file cannot be read, or a setting is unknown or wrong.
    """
    config = NodeConfig() if path is None else _from_file(path)
    given = {name: value for name, value in chosen.items() if value is not None}
    return replace(config, **given)


def _from_file(path: Path) -> NodeConfig:
    values = typed(NodeConfig, read_toml(path), str(path))
    try:
        return NodeConfig(**values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value!r}, expected {expected}")
