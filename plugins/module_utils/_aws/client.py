# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call to one of the APIs of AWS through botocore: credentials, endpoint, retries, and what a refusal means."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    StoreError,
    TransferError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.web import RETRY_STATUS, retry_after

Data: t.TypeAlias = "dict[str, t.Any]"

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html and the errors of each action.
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_WRONG = {
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "UnrecognizedClientException",
}
_RETRY = {
    "InternalFailure",
    "InternalServiceError",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_CONFLICT = {"InvalidRequestException", "PreconditionNotMetException", "ResourceExistsException"}
_INPUT = {
    "InvalidParameterException",
    "MalformedPolicyDocumentException",
    "PublicPolicyException",
    "ValidationError",
    "ValidationException",
}
_KMS = {"DecryptionFailure", "EncryptionFailure"}


@dataclasses.dataclass(frozen=True)
class AwsOptions:
    """How AWS is reached; None means what the AWS SDK finds in its usual places."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = dataclasses.field(default=None, repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)
    profile: str | None = None
    validate_certs: bool = True
    ca_bundle: str | None = None


class AwsClient:
    """One service in one region.

    ``AWS_URL`` and ``AWS_REGION`` count where no endpoint and no region is given, as in amazon.aws, and then what
    botocore looks for.

    :param service: its name in botocore, such as ``secretsmanager``.
    :raises InputError: botocore is missing, or the options do not fit.
    """

    def __init__(self, service: str, options: AwsOptions, control: Control) -> None:
        self._service = service
        self._control = control
        try:
            import botocore.config  # 0.2 s that only users of AWS pay
            import botocore.exceptions
            import botocore.session
        except ImportError as error:
            raise InputError("AWS needs the Python package boto3.", hint="Install boto3.") from error
        config = botocore.config.Config(
            # Retries are our own, so that they end at the deadline.
            retries={"total_max_attempts": 1},
            connect_timeout=min(20.0, control.stall_timeout),
            read_timeout=control.stall_timeout,
            user_agent_extra="modelops.serving",
        )
        try:
            session = botocore.session.Session(profile=options.profile)
            region = options.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
            if not region:
                raise InputError("No region of AWS is given.", hint="Give region, or set AWS_REGION.")
            self._client = session.create_client(
                service,
                region_name=region,
                endpoint_url=options.endpoint_url or os.environ.get("AWS_URL") or None,
                aws_access_key_id=options.access_key,
                aws_secret_access_key=options.secret_key,
                aws_session_token=options.session_token,
                verify=options.ca_bundle if options.validate_certs else False,
                config=config,
            )
        except botocore.exceptions.BotoCoreError as error:
            raise InputError(f"AWS cannot be reached with these options: {_first_line(error)}.") from error
        except ValueError as error:  # botocore's answer to an endpoint that is no URL
            raise InputError(f"{_first_line(error)}.", hint="Check endpoint_url and region.") from error

    def call(self, operation: str, *, what: str, **arguments: t.Any) -> Data:
        """Send a request, and again what may be sent again. Carrying it out twice must do no harm.

        :param operation: as botocore spells it, such as ``put_secret_value``.
        :param what: what is asked for, in words that fit after "AWS refused to": ``read the secret X``.
        :raises AccessError: credentials are missing, wrong, expired or not sufficient.
        :raises NotFoundError: it does not exist.
        :raises ConflictError: it is there already, or in a state that does not allow this.
        :raises InputError: the request is wrong. :raises StoreError: any other refusal.
        :raises TransientError: no usable answer after as many tries as allowed; it may have been carried out.
        """
        return self._control.retry(self._send, operation, what, arguments)

    def _send(self, operation: str, what: str, arguments: t.Mapping[str, t.Any]) -> Data:
        import botocore.exceptions as bc

        try:
            answer: Data = getattr(self._client, operation)(**arguments)
        except bc.ClientError as error:
            action = f"{self._service}:{self._client.meta.method_to_api_mapping[operation]}"
            raise refusal(error.response, what, action) from error
        except (bc.NoCredentialsError, bc.PartialCredentialsError, bc.CredentialRetrievalError) as error:
            raise AccessError(
                f"Cannot {what}: {_first_line(error)}.",
                hint="Give access_key and secret_key, a profile, or run where the AWS SDK finds credentials.",
            ) from error
        except bc.SSLError as error:
            raise AccessError(
                f"Cannot {what}: TLS failed: {_first_line(error)}.",
                hint="Give the CA with ca_bundle; validate_certs=false only for tests.",
            ) from error
        except bc.ParamValidationError as error:
            raise InputError(f"Cannot {what}: {_first_line(error)}.") from error
        except (bc.HTTPClientError, bc.ConnectionError, OSError) as error:
            raise TransientError(
                f"Cannot {what}: {_first_line(error)}.", hint="Check endpoint_url, region and the network."
            ) from error
        except bc.BotoCoreError as error:
            raise StoreError(f"Cannot {what}: {_first_line(error)}.") from error
        except ValueError:
            # A header that cannot be sent; the text of the error quotes it.
            raise InputError(
                f"Cannot {what}: the credentials hold characters that cannot be sent.", hint="Copy them again."
            ) from None
        return answer


def refusal(response: t.Mapping[str, t.Any], what: str, action: str) -> TransferError:
    """The error for an answer that is not a success.

    :param response: as botocore has it in a ClientError.
    :param action: of IAM, such as ``secretsmanager:PutSecretValue``.
    """
    error = response.get("Error") or {}
    meta = response.get("ResponseMetadata") or {}
    code, said = str(error.get("Code") or ""), str(error.get("Message") or "no reason given")
    status = int(meta.get("HTTPStatusCode") or 0)
    told = f"AWS refused to {what}: {said.strip().splitlines()[0].rstrip('.')} ({code or status})."
    if code in _EXPIRED:
        return AccessError(told, hint="The credentials have expired: renew them, and run again.")
    if code in _WRONG:
        return AccessError(told, hint="Check the access key, the secret key, the session token and the clock.")
    if code in _RETRY or status in RETRY_STATUS or status >= 500:
        headers = {key.title(): value for key, value in (meta.get("HTTPHeaders") or {}).items()}
        return TransientError(told, retry_after=retry_after(headers), hint="Try again later.")
    denied = code.startswith("AccessDenied") or status in (401, 403)
    if code in _KMS or (denied and "KMS" in said):
        return AccessError(told, hint="Allow kms:Decrypt and kms:GenerateDataKey for the key of the secret.")
    if denied:
        named = re.search(r"not authorized to perform: ([\w-]+:\w+)", said)
        return AccessError(told, hint=f"Allow the action {named[1] if named else action} in a policy of IAM.")
    if code == "ResourceNotFoundException":
        return NotFoundError(told)
    if code in _CONFLICT:
        hint = "Deletion takes AWS a while; try again in some minutes." if "deletion" in said else ""
        return ConflictError(told, hint=hint)
    if code in _INPUT:
        return InputError(told)
    return StoreError(told)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
