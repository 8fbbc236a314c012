"""Artifacts in Google Cloud Storage: ``gs://bucket/prefix``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from klassd.workflows.artifacts.remote import CONNECT, MIB, OPTIONS, PROXIES, RemoteArtifacts
from klassd.workflows.artifacts.urls import switch

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class GcsArtifacts(RemoteArtifacts):
    """``artifacts.ArtifactStore`` in a bucket. Credentials are Google's application default ones, or of a file."""

    part = 4 * MIB  # Google's SDK holds three of them, and 50 MiB of its own
    sdk, extra = "google.cloud.storage", "gcs"
    options = OPTIONS | {"anonymous": switch}
    environment = (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_PROJECT",
        "CLOUDSDK_CONFIG",
        "STORAGE_EMULATOR_HOST",
        "GCE_METADATA_HOST",
        *PROXIES,
    )

    def _upload(self, name: str, media_type: str) -> _Upload:
        return _Upload(_writer(self._bucket.blob(name, chunk_size=self.part), media_type, self._waits))

    def _object(self, name: str) -> tuple[int, Callable[[int, int], bytes]] | None:
        blob = self._bucket.get_blob(name, **self._waits)
        if blob is None:
            return None

        def fetch(start: int, end: int) -> Any:
            return blob.download_as_bytes(start=start, end=end - 1, checksum=None, **self._waits)

        return blob.size, fetch

    def _remove(self, name: str) -> None:
        for blob in self._bucket.list_blobs(prefix=f"{name}/", **self._waits):
            self._remove_one(blob)
        self._remove_one(self._bucket.blob(name))

    def _remove_one(self, blob: Blob) -> None:
        from google.api_core.exceptions import NotFound

        with suppress(NotFound):
            blob.delete(**self._waits)

    @property
    def _bucket(self) -> Any:
        return self._client.bucket(self.place.bucket)

    def _connect(self) -> Client:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        options = self.place.options
        chosen: dict[str, Any] = {}
        if options.get("anonymous"):
            chosen["credentials"] = AnonymousCredentials()
        elif file := options.get("credentials"):
            chosen["credentials"] = _credentials_of(file)
        if endpoint := options.get("endpoint_url"):
            chosen["client_options"] = {"api_endpoint": endpoint}
        return Client(project=None, **chosen)

    @property
    def _waits(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        retry = DEFAULT_RETRY.with_timeout(self.retry_for).with_delay(initial=0.1, maximum=5.0)
        return {"timeout": (CONNECT, self.timeout), "retry": retry}

    # -- what went wrong ----------------------------------------------------------------------------------------

    def _why(self, error: Exception) -> str | None:
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
        from requests.exceptions import RequestException

        if isinstance(error, RetryError) and error.cause:
            return self._why(error.cause)
        if isinstance(error, GoogleAuthError):
            return self._why_unauthorised(error)
        if isinstance(error, GoogleAPICallError):
            return self._why_refused(error.code, error.message)
        if isinstance(error, InvalidResponse):
            return self._why_refused(error.response.status_code, "")
        if isinstance(error, RetryError | RequestException | DataCorruption):
            return self._why_unreachable(error)
        return None

    def _why_refused(self, status: Any, message: str | None) -> str:
        status, bucket = int(status or 0), self.place.bucket
        if status == 404:
            return f"there is no bucket {bucket!r} at {self._where}: create it, or correct the bucket or endpoint_url"
        if status in (401, 403):
            return (
                f"bucket {bucket!r} at {self._where} refuses these credentials ({status}; {self._credentials}): they need "
                "storage.objects.create and get, and list and delete to replace or delete"
            )
        answer = f"{status} {message or ''}".strip()
        return f"{self._where} answered {answer} ({self.retried()})"

    def _why_unauthorised(self, error: Exception) -> str:
        from google.auth.exceptions import DefaultCredentialsError

        if isinstance(error, DefaultCredentialsError):
            return (
                "no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS, name a file with ?credentials=PATH, or give "
                f"the machine a service account ({type(error).__name__})"
            )
        return f"the credentials ({self._credentials}) give no token ({type(error).__name__}): renew them"

    def _why_unreachable(self, error: Exception) -> str:
        return f"{self._where} cannot be reached ({self.retried()}): {type(error).__name__}: check the network and endpoint_url"

    @property
    def _where(self) -> str:
        return str(self.place.options.get("endpoint_url") or "Google Cloud Storage")

    @property
    def _credentials(self) -> str:
        """Where they come from; never what they are."""
        if self.place.options.get("anonymous"):
            return "anonymous"
        file = self.place.options.get("credentials")
        return f"from {file}" if file else "application default credentials"


class _Upload:
    """``writing.Target``: a resumable upload; visible when its last part has come."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: memoryview) -> int:
        return int(self._file.write(data))

    def publish(self) -> None:
        self._file.wanted = True
        self._file.close()

    def abandon(self) -> None:
        self._file.terminate()


def _writer(blob: Blob, media_type: str, waits: dict[str, Any]) -> Any:
    from google.cloud.storage.fileio import BlobWriter

    class Writer(BlobWriter):
        """Google's writer, but one that is dropped does not complete its upload."""

        wanted = False

        def close(self) -> Any:
            return super().close() if self.wanted else None  # type: ignore[no-untyped-call]

    writer: Any = Writer
    return writer(blob, ignore_flush=True, content_type=media_type, **waits)


def _credentials_of(file: str) -> Any:
    import google.auth

    return google.auth.load_credentials_from_file(file, scopes=[_SCOPE])[0]
