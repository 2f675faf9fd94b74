"""An expired certificate, signed by its own key: made when a fault begins, kept in memory alone."""

from __future__ import annotations

import os
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from watchkeeper.errors import AgentError

WITHIN_S: Final = 20.0
# `openssl req` makes no certificate that has expired; `openssl ca` takes the dates.
_CONF: Final = """
[ca]
default_ca = own
[own]
dir = .
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[req]
prompt = no
distinguished_name = subject
[subject]
commonName = {name}
[names]
subjectAltName = DNS:{name}, DNS:localhost, IP:127.0.0.1
"""


def expired(name: str) -> str:
    """Key and certificate as PEM: for this name, valid until the end of 2020.

    Raises:
        AgentError: the `openssl` command failed.
    """
    with tempfile.TemporaryDirectory(prefix="watchkeeper-certificate-") as text:
        folder = Path(text)
        (folder / "conf").write_text(_CONF.format(name=name))
        (folder / "index").touch()
        (folder / "serial").write_text("01")
        _openssl(folder, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "request")
        dates = ("-startdate", "200101000000Z", "-enddate", "201231000000Z")
        _openssl(folder, "ca", "-batch", "-selfsign", "-keyfile", "key", "-in", "request", "-out", "made", *dates)
        certificate = (folder / "made").read_text()
        return (folder / "key").read_text() + certificate[certificate.index("-----BEGIN CERTIFICATE") :]


def _openssl(folder: Path, command: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            ["openssl", command, "-config", "conf", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"openssl {command}, which makes the expired certificate, cannot run: {error}") from error
    if done.returncode:
        raise AgentError(f"openssl {command} failed: {done.stderr.strip()[-300:]}")


def server_context(pem: str) -> ssl.SSLContext:
    """TLS with this key and certificate.

    Raises:
        AgentError: it is no such pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("certificate")  # the library takes files only, and this one is never on a disk
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (ssl.SSLError, OSError) as error:
        raise AgentError(f"the rule's certificate cannot be used: {error}") from error
    finally:
        os.close(descriptor)
    return context
