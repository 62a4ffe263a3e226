"""Certificates made on the spot with openssl: an authority and leaves for loopback (Rust's TLS refuses a leaf that signs itself)."""

from __future__ import annotations

from pathlib import Path

from processes import run

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs what names 127.0.0.1; clients trust it by `certificate`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.certificate, self.key = folder / "ca.pem", folder / "ca.key"
        run(["openssl", "req", "-x509", *KEY, "-subj", "/CN=end-to-end authority", "-days", "2", "-keyout", self.key, "-out", self.certificate])

    def leaf(self, name: str) -> tuple[Path, Path]:
        """Paths of a certificate and its key."""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        run(["openssl", "req", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request])
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate])
        return certificate, key
