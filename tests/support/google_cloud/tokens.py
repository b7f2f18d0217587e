# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens: which ones count, and the endpoint that gives them for the key of a service account."""

from __future__ import annotations

import datetime
import time
import uuid
from typing import Any

from .errors import ApiError

#: Of the tokens given for a key, in seconds.
_LIFETIME = 3599
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_INVALID = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_MISSING = _INVALID.replace("had invalid", "is missing required").replace("credentials.", "credential.", 1)


class Tokens:
    def __init__(self) -> None:
        self.access_token = "ya29." + uuid.uuid4().hex
        self._keys: dict[str, dict[str, str]] = {}
        self._expiry = {self.access_token: float("inf")}
        self._owners: dict[str, str] = {}

    def revoke(self, token: str) -> None:
        self._expiry.pop(token, None)

    def check(self, authorization: str | None) -> str:
        """The service account whose token it is, empty for :attr:`access_token`.

        :raises ApiError: 401, unless the header carries a token that counts.
        """
        scheme, _space, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated(_MISSING, "CREDENTIALS_MISSING")
        if self._expiry.get(token, 0) < time.time():
            raise _unauthenticated(_INVALID, "ACCESS_TOKEN_EXPIRED")
        return self._owners.get(token, "")

    def issue(self, email: str) -> tuple[str, str]:
        """A new token of a service account, and when it expires."""
        token, expiry = "ya29.c." + uuid.uuid4().hex, time.time() + _LIFETIME
        self._expiry[token], self._owners[token] = expiry, email
        ends = datetime.datetime.fromtimestamp(expiry, datetime.timezone.utc)
        return token, ends.strftime("%Y-%m-%dT%H:%M:%SZ")

    def service_account_key(self, email: str, project: str, token_uri: str) -> dict[str, str]:
        """The key file of a service account, made once for each."""
        if email not in self._keys:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import rsa

            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            private = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            self._keys[email] = {"private": private.decode(), "public": public.decode()}
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": uuid.uuid5(uuid.NAMESPACE_URL, email).hex,
            "private_key": self._keys[email]["private"],
            "client_email": email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        }

    def grant(self, form: dict[str, str], token_uri: str) -> tuple[int, dict[str, Any]]:
        """The answer to a request for a token: status and body, in OAuth's form of errors."""
        from google.auth import exceptions, jwt

        if form.get("grant_type") != _GRANT:
            return 400, {"error": "unsupported_grant_type", "error_description": f"Invalid grant_type: {_GRANT} only."}
        try:
            email = jwt.decode(form.get("assertion", ""), verify=False).get("iss", "")
            key = self._keys.get(email, {}).get("public")
            if key is None:
                return 400, {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
            jwt.decode(form["assertion"], certs=key, audience=[token_uri, "https://oauth2.googleapis.com/token"])
        except (ValueError, exceptions.GoogleAuthError):
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        token, _ends = self.issue(email)
        return 200, {"access_token": token, "expires_in": _LIFETIME, "token_type": "Bearer"}


def _unauthenticated(message: str, reason: str) -> ApiError:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    return ApiError(401, message, details=[info])
