"""Whether a request that changes something was meant: sent from our own page, by somebody who confirmed it.

Three things have to hold, each of which a page of another site cannot bring about: the browser says that the request
comes from the same origin (``Origin``, and ``Sec-Fetch-Site`` where it is sent), the form carries the token of the
cookie that our page has set, and the cookie is never sent along with requests from another site (``SameSite=Strict``).
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import urlsplit

from mlbench.dashboard.web import Request
from mlbench.errors import MlbenchError

COOKIE = "mlbench_token"
FIELD = "token"
_LENGTH = 43  # of 32 random bytes in URL-safe base 64


class NotMeantError(MlbenchError):
    """A request that may have been sent by somebody else's page."""


def token_of(request: Request) -> str:
    """The browser's token, or a new one."""
    known = request.cookies.get(COOKIE, "")
    return known if len(known) == _LENGTH else secrets.token_urlsafe(32)


def cookie(token: str, request: Request) -> str:
    """The value of ``Set-Cookie`` that keeps the token in the browser."""
    parts = [f"{COOKIE}={token}", f"Path={request.root}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if request.secure else parts)


def require_own(request: Request) -> None:
    """See that a request comes from our own page.

    Raises:
        NotMeantError: It does not, or that cannot be told.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise NotMeantError(f"this request comes from another site (Sec-Fetch-Site: {site}): nothing was changed")
    origin = request.headers.get("origin", "")
    host = request.headers.get("host", "")
    if not host or urlsplit(origin).netloc.lower() != host.lower():
        raise NotMeantError(f"this request comes from another origin ({origin or 'not said'}): nothing was changed")
    known, sent = request.cookies.get(COOKIE, ""), request.posted(FIELD)
    if len(known) != _LENGTH or not hmac.compare_digest(known.encode(), sent.encode()):
        raise NotMeantError("this form is not from this page, or the page is old: open it again; nothing was changed")


__all__ = ["COOKIE", "FIELD", "NotMeantError", "cookie", "require_own", "token_of"]
