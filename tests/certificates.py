"""Certificates that nobody signed, for tests of what TLS says about them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make a certificate")


def certificate(folder: Path, name: str, *, expired: bool = False) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for this name or address."""
    key, pem = folder / "key.pem", folder / "cert.pem"
    kind = "IP" if name[0].isdigit() else "DNS"
    # openssl x509 takes negative days where req does not
    request, extension = folder / "request.pem", folder / "extension"
    extension.write_text(f"subjectAltName={kind}:{name}\nbasicConstraints=CA:TRUE\n")
    make: list[str | Path] = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-subj",
        f"/CN={name}",
    ]
    subprocess.run([*make, "-out", request], check=True, capture_output=True)
    sign: list[str | Path] = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-signkey",
        key,
        "-extfile",
        extension,
        "-out",
        pem,
    ]
    subprocess.run([*sign, "-days", "-1" if expired else "2"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return pem, context
