"""Artifacts in S3 and what speaks its protocol: ``s3://bucket/prefix?endpoint_url=https://...&region=...``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from klassd.workflows.artifacts.remote import CONNECT, MIB, OPTIONS, PROXIES, RemoteArtifacts
from klassd.workflows.artifacts.s3_credentials import CredentialsFile, credentials_file
from klassd.workflows.artifacts.urls import switch
from klassd.workflows.errors import ArtifactError

if TYPE_CHECKING:
    import obstore
    from obstore.store import ClientConfig, S3Config, S3Store

PARTS = 10_000  # of one object, by the protocol
AT_ONCE = 2  # parts on their way: one is sent while the next is filled
_SIZE = re.compile(r"(\d+)MiB")

# What is wrong, by the code of the answer.
_CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId")
_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken")


def part_size(text: str) -> int:
    """``16MiB``, in bytes."""
    match = _SIZE.fullmatch(text)
    if not match or not 5 <= int(match[1]) <= 5120:
        raise ValueError("expected 5MiB to 5120MiB")
    return int(match[1]) * MIB


class S3Artifacts(RemoteArtifacts):
    """``artifacts.ArtifactStore`` in a bucket. Credentials come from the environment, a file or the machine's role."""

    sdk, extra = "obstore", "s3"
    options = OPTIONS | {"region": str, "path_style": switch, "profile": str, "part_size": part_size}
    environment = (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        *PROXIES,
    )

    def _upload(self, name: str, media_type: str) -> _Upload:
        import obstore

        size = self.place.options.get("part_size", self.part)
        file = obstore.open_writer(
            self._client, name, attributes={"Content-Type": media_type}, buffer_size=size, max_concurrency=AT_ONCE
        )
        return _Upload(file, size)

    def _object(self, name: str) -> tuple[int, Callable[[int, int], bytes]] | None:
        import obstore

        try:
            size = obstore.head(self._client, name)["size"]
        except FileNotFoundError:
            return None

        def fetch(start: int, end: int) -> Any:
            return obstore.get_range(self._client, name, start=start, end=end)

        return size, fetch

    def _remove(self, name: str) -> None:
        import obstore

        for page in obstore.list(self._client, prefix=name):
            obstore.delete(self._client, [each["path"] for each in page])
        obstore.delete(self._client, name)

    def _connect(self) -> S3Store:
        from obstore.store import S3Store

        _refuse_forked()
        return S3Store(
            self.place.bucket,
            config=self._config(),
            client_options=self._client_options(),
            retry_config={
                "max_retries": 1000,
                "retry_timeout": timedelta(seconds=self.retry_for),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
            credential_provider=self._credentials_file,
        )

    @cached_property
    def _credentials_file(self) -> CredentialsFile | None:
        return credentials_file(self.place.options, os.environ)

    @property
    def _endpoint(self) -> str:
        named = self.place.options.get("endpoint_url")
        return named or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""

    def _config(self) -> S3Config:
        in_host = not self.place.options.get("path_style", True)
        config: S3Config = {"region": self._region, "virtual_hosted_style_request": in_host}
        if self._endpoint:
            scheme, _, host = self._endpoint.partition("://")
            config["endpoint"] = f"{scheme}://{self.place.bucket}.{host}" if in_host else self._endpoint
        return config

    @property
    def _region(self) -> str:
        named: str | None = self.place.options.get("region")
        return named or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"

    def _client_options(self) -> ClientConfig:
        return {
            "allow_http": self._endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT),
            "timeout": timedelta(seconds=self.timeout),
        }

    # -- what went wrong ----------------------------------------------------------------------------------------

    def _why(self, error: Exception) -> str | None:
        if not isinstance(error, _kinds()):
            return None
        text = str(error)
        return self._why_refused(text) or self._why_unreachable(text) or text.splitlines()[0][:500]

    def _why_refused(self, text: str) -> str | None:
        where, bucket = self._endpoint or "AWS", self.place.bucket
        code = _found(r"<Code>(\w+)</Code>", text)
        status = _found(r"status: (\d{3})|status code: (\d{3})", text)
        if code in _EXPIRED:
            return f"the credentials ({self._credentials}) have expired ({code}): renew them; a role or a file renews itself"
        if code in _CREDENTIALS:
            return f"{where} does not know the credentials it was given ({code}; {self._credentials}): correct them"
        if code == "RequestTimeTooSkewed":
            return f"{where} has another time than this machine ({code}): set its clock"
        if code == "NoSuchBucket":
            return f"there is no bucket {bucket!r} at {where}: create it, or correct the bucket or endpoint_url"
        if code in _REGION or status == "301":
            return f"bucket {bucket!r} is in another region than {self._region!r}: correct region"
        if code == "AccessDenied" or (status == "403" and "169.254." not in text):
            return (
                f"bucket {bucket!r} at {where} refuses these credentials ({code or status}; {self._credentials}): they need "
                "PutObject, GetObject and AbortMultipartUpload on its objects, and ListBucket and DeleteObject to delete"
            )
        return f"{where} answered {code}" if code else None

    def _why_unreachable(self, text: str) -> str | None:
        if "No CA certificates" in text:  # asked for without TLS too
            return "no certificates of authorities in this image: install ca-certificates, or name them in SSL_CERT_FILE"
        if "credentials file" in text:
            return _found(r"(the credentials file .*aws_secret_access_key)", text)
        if re.search(r"169\.254\.|//sts\.|/latest/api/token", text):
            return (
                "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a file with "
                "?credentials=PATH, or give the machine a role"
            )
        why = _found(r'message: "([^"]+)"', text) or _found(r"(operation timed out|TimedOut|dns error)", text)
        if "HTTP error" not in text and "error sending" not in text:
            return None
        where, answer = self._endpoint or "AWS", why or "no answer"
        return f"{where} cannot be reached ({self.retried()}): {answer}: check the network and endpoint_url"

    @property
    def _credentials(self) -> str:
        """Where they come from; never what they are."""
        if file := self._credentials_file:
            return f"from {file.path}, [{file.profile}]"
        return "from AWS_ACCESS_KEY_ID" if os.environ.get("AWS_ACCESS_KEY_ID") else "from the machine's role"


class _Upload:
    """``writing.Target``: one request for what fits a part, a multipart upload for more; visible when it is completed."""

    def __init__(self, file: obstore.WritableFile, part: int) -> None:
        self._file = file
        self._left = part * PARTS

    def write(self, data: memoryview) -> int:
        self._left -= data.nbytes
        if self._left < 0:
            raise ArtifactError(
                f"an artifact has at most {PARTS:,} parts here: set part_size in the URL, as in part_size=64MiB"
            )
        return self._file.write(bytes(data))  # a copy: it is sent later, when the buffer holds something else

    def publish(self) -> None:
        self._file.close()

    def abandon(self) -> None:
        self._file.__exit__(ArtifactError, ArtifactError("abandoned"), None)  # what makes obstore abort the upload


_threads_in: list[int] = []  # the process that has the SDK's threads


def _refuse_forked() -> None:
    """The SDK's threads do not survive a fork, and it would wait for them for ever."""
    if not _threads_in:
        _threads_in.append(os.getpid())
    if os.getpid() not in _threads_in:
        raise ArtifactError(
            "this process was forked from one that had used S3 artifacts, which does not work: use them in the parent, "
            "or start processes with multiprocessing's 'spawn'"
        )


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return next(filter(None, match.groups()), None) if match else None


def _kinds() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return (BaseError, OSError, ValueError)  # its writer raises OSError
