"""Signature Version 4: who signed a request, and whether it came in as it was signed."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from .errors import ApiError
from .protocol import Request

WINDOW = 15 * 60
"""Seconds by which a request's date may differ from the time."""


@dataclass(frozen=True)
class Claim:
    """What a request's `Authorization` header says, not yet verified."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: str
    signature: str


def claim(request: Request) -> Claim:
    """Read the `Authorization` header.

    Raises
    ------
    ApiError
        When the request carries no signature, or one of another make than Signature Version 4 in a header.
    """
    header = request.headers.get("authorization", "")
    if not header:
        raise ApiError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    algorithm, _, rest = header.partition(" ")
    try:
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        access_key, date, region, service, end = fields["Credential"].split("/")
        found = Claim(access_key, date, region, service, fields["SignedHeaders"], fields["Signature"])
    except (KeyError, ValueError):
        end = ""
    if algorithm != "AWS4-HMAC-SHA256" or end != "aws4_request":
        raise ApiError(
            "IncompleteSignature", "The Authorization header is not an AWS4-HMAC-SHA256 signature of this form.", 403
        )
    return found


def verify(request: Request, found: Claim, secret: str, now: tuple[float, float]) -> None:
    """Check the signature over the raw request, and its date.

    Parameters
    ----------
    request : Request
        The request as it came in.
    found : Claim
        What it says about its signature.
    secret : str
        The secret key of the access key that it names.
    now : tuple of float
        Real and virtual time; a date near either will do, since a client's clock is real and a handler's virtual.

    Raises
    ------
    ApiError
        When the signature does not match, does not cover the host, or is too old.
    """
    signed = found.signed_headers.split(";")
    headers = request.headers
    stamp = headers.get("x-amz-date", "")
    if "host" not in signed or any(name not in headers for name in signed) or not stamp.startswith(found.date):
        raise _mismatch()
    try:
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _mismatch() from None
    if all(abs(sent - moment) > WINDOW for moment in now):
        raise ApiError("InvalidSignatureException", f"Signature expired: {stamp} is not within 15 minutes of now.", 403)
    path, _, query = request.target.partition("?")
    query = "&".join(sorted(item if "=" in item else item + "=" for item in query.split("&"))) if query else ""
    payload = hashlib.sha256(request.body).hexdigest()
    if found.service == "s3":
        # S3 signs its path as it stands, and may leave the payload out.
        payload = headers.get("x-amz-content-sha256", payload)
    else:
        path = quote(path, safe="/~")
    canonical = "\n".join(
        [
            request.method,
            path,
            query,
            "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed),
            found.signed_headers,
            payload,
        ]
    )
    scope = f"{found.date}/{found.region}/{found.service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = _signing_key(secret, found.date, found.region, found.service)
    right = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    # As bytes: texts with other letters than ASCII cannot be compared so.
    if not hmac.compare_digest(right.encode(), found.signature.encode()):
        raise _mismatch()


def _mismatch() -> ApiError:
    return ApiError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        403,
    )


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
