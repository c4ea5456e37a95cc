"""A client of the lab endpoints: one signed request."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .errors import ApiError
from .state import ServerInfo

SERVICE = "local-aws"
"""The service name under which requests to the lab endpoints are signed."""


def lab_request(
    info: ServerInfo, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 60
) -> dict[str, Any]:
    """Call a lab endpoint of a server.

    Parameters
    ----------
    info : ServerInfo
        The server.
    method, path : str
        The endpoint; `lab_api` lists them.
    body : dict, optional
        What it takes.
    timeout : float
        Seconds after which a server that does not answer is given up.

    Returns
    -------
    dict
        The answer.

    Raises
    ------
    ApiError
        When the server refuses.
    OSError
        When there is no server any more.
    """
    data = json.dumps(body or {}).encode() if method == "POST" else b""
    address = urlsplit(info.url)
    request = AWSRequest(method, info.url + path, data=data, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials(info.access_key, info.secret_key), SERVICE, info.region).add_auth(request)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
    try:
        connection.request(method, path, data, dict(request.headers.items()))
        answer = connection.getresponse()
        content = json.loads(answer.read() or b"{}")
    except (http.client.HTTPException, ValueError) as problem:
        raise ConnectionError(f"The local AWS at {info.url} broke off: {problem}") from None
    finally:
        connection.close()
    if answer.status >= 400:
        raise ApiError(content.get("code", "Unknown"), content.get("message", ""), answer.status)
    return dict(content)
