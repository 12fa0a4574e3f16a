"""TLS credentials of gRPC servers and channels, read from files."""

import logging
from pathlib import Path

import grpc

from backend.chassis.rpc.settings import TlsFiles

_log = logging.getLogger(__name__)


def create_server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that are read again when the certificate file changes.

    With an authority, clients need a certificate that it has signed.
    """
    watcher = _CertificateWatcher(files)
    return grpc.dynamic_ssl_server_credentials(
        watcher.get_configuration(),
        watcher.get_configuration,
        require_client_authentication=files.peer_authority is not None,
    )


def create_channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        _read(files.peer_authority), _read(files.key), _read(files.certificate)
    )


class _CertificateWatcher:
    """Reads the configuration of a server, and again when the certificate file was replaced."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._version = self._get_version()
        self._configuration = self._read_configuration()

    def _read_configuration(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        pairs = [(_read(files.key) or b"", _read(files.certificate) or b"")]
        return grpc.ssl_server_certificate_configuration(pairs, _read(files.peer_authority))

    def get_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return the current configuration. Called for each new connection."""
        try:
            version = self._get_version()
            if version != self._version:
                self._configuration, self._version = self._read_configuration(), version
        except OSError as error:  # the file is being replaced
            _log.warning("the certificate of the gRPC server cannot be read: %s", error.strerror)
        return self._configuration

    def _get_version(self) -> tuple[int, ...]:
        files = (self._files.certificate, self._files.key)
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)


def _read(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()
