"""Credentials for S3 from a file as AWS's tools write it, read again whenever they are needed: a file that is renewed
while a job runs is taken up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser, Error
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from klassd.workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from obstore.store import S3Credential

DEFAULT = os.path.join("~", ".aws", "credentials")
STRONGER = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI")  # fmt: skip
FRESH = timedelta(seconds=30)


class CredentialsFile:
    """A credential provider for obstore."""

    def __init__(self, path: str, profile: str) -> None:
        self.path, self.profile = os.path.expanduser(path), profile

    def __call__(self) -> S3Credential:
        section = self._section()
        found: S3Credential = {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
            "token": section.get("aws_session_token"),
            "expires_at": datetime.now(UTC) + FRESH,
        }
        return found

    def _section(self) -> Mapping[str, Any]:
        parser = ConfigParser(interpolation=None)
        try:
            with open(self.path, encoding="utf-8") as file:
                parser.read_file(file)
            section = parser[self.profile]
            _ = section["aws_access_key_id"], section["aws_secret_access_key"]
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be read") from None
        except (Error, KeyError, UnicodeDecodeError):  # their text may repeat a line of the file
            raise self._unusable("it is not there in this form") from None
        return section

    def _unusable(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"the credentials file {self.path} cannot be used: {why}: expected a section [{self.profile}] with "
            "aws_access_key_id and aws_secret_access_key"
        )


def credentials_file(options: Mapping[str, Any], environ: Mapping[str, str]) -> CredentialsFile | None:
    """The file that the URL or the environment names, or AWS's usual one; None where something else gives credentials."""
    profile = options.get("profile") or environ.get("AWS_PROFILE") or "default"
    if named := options.get("credentials"):
        return CredentialsFile(named, profile)
    if "profile" not in options and any(environ.get(name) for name in STRONGER):
        return None
    path = environ.get("AWS_SHARED_CREDENTIALS_FILE") or DEFAULT
    return CredentialsFile(path, profile) if os.path.exists(os.path.expanduser(path)) or "profile" in options else None
