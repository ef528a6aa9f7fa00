"""Sending to an archive by DICOMweb: STOW-RS (PS3.18, 10.5)."""

import secrets
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread

from hagan_clinic.node.delivery import CutOffError, RefusedError, Taken, UnreachableError
from hagan_clinic.node.destination import WebDestination

BATCH = 16 * 2**20
"""Bytes of a request: what is sent again if it is cut off."""

_AT_THIS_REQUEST = (408, 500, 504)
"""Answers of a service that may well take another one: too slow, or broken by its content."""

_FAILED = "00081198"  # FailedSOPSequence
_INSTANCE = "00081155"  # ReferencedSOPInstanceUID


class WebSender:
    """An archive that takes STOW-RS.

    Args:
        destination: The archive.
        timeout: Seconds for each answer.
        tls: Of connections by https.
        token_file: File that holds a bearer token, read for each request; "" for none.
    """

    def __init__(
        self, destination: WebDestination, timeout: float, tls: ssl.SSLContext, token_file: str
    ) -> None:
        self._url = f"{destination.url}/studies"
        self._client = httpx.Client(verify=tls, timeout=timeout, trust_env=False)
        self._token_file = token_file

    def store(self, paths: Sequence[Path], taken: Taken) -> None:
        """Send the files; see `Sender`."""
        for batch in _batches(paths):
            boundary = secrets.token_hex(16)
            headers = {
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": "application/dicom+json",
                **self._authorisation(),
            }
            content = b"".join(
                b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n"
                % (boundary.encode(), path.read_bytes())
                for path in batch
            )
            content += f"--{boundary}--\r\n".encode()
            try:
                response = self._client.post(self._url, content=content, headers=headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise UnreachableError(
                    f"the archive cannot be reached ({type(error).__name__})"
                ) from error
            except httpx.HTTPError as error:
                raise CutOffError(f"the request was cut off ({type(error).__name__})") from error
            self._read(response, batch, taken)

    def _read(self, response: httpx.Response, batch: list[Path], taken: Taken) -> None:
        """Tell apart what was taken, what was refused and what is for later."""
        code = response.status_code
        if code not in (200, 202, 409):
            kind: type[Exception] = RefusedError
            if code in _AT_THIS_REQUEST:
                kind = CutOffError
            elif code >= 500 or code in (401, 403, 429):
                kind = UnreachableError
            raise kind(f"the archive answered HTTP {code}")
        failed = _failed(response)
        # 409: none was stored; without a list, that is all that is known.
        if code == 409 and not failed:
            raise RefusedError("the archive answered HTTP 409")
        for path in batch:
            if not failed or _uid(path) not in failed:
                taken(path)
        if failed:
            raise RefusedError(f"the archive refused {len(failed)} of {len(batch)} instances")

    def _authorisation(self) -> dict[str, str]:
        if not self._token_file:
            return {}
        try:
            token = Path(self._token_file).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnreachableError("forward_token_file cannot be read") from error
        return {"Authorization": f"Bearer {token}"}


def _batches(paths: Sequence[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in paths:
        length = path.stat().st_size
        if batch and size + length > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


def _failed(response: httpx.Response) -> set[str]:
    """UIDs of the instances that were not stored, according to the answer."""
    try:
        answer: Any = response.json()
        answer = answer[0] if isinstance(answer, list) else answer
        items = answer.get(_FAILED, {}).get("Value", [])
        return {str(item[_INSTANCE]["Value"][0]) for item in items}
    except (ValueError, LookupError, TypeError, AttributeError):
        return set()


def _uid(path: Path) -> str:
    header = dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
    return str(header.SOPInstanceUID)
