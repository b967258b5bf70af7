"""Certificates for tests, made by openssl: an RSA and an EC pair for mx.example.com, self-signed."""

import pathlib
import subprocess

KINDS = {"rsa": ["-newkey", "rsa:2048"], "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]}


def make(directory, kind, name="mx.example.com", days=30):
    """A file with key and certificate, as smtpd_tls_chain_files takes it."""
    directory = pathlib.Path(directory)
    key, certificate, both = (directory / f"{name}-{kind}.{end}" for end in ("key", "crt", "pem"))
    subprocess.run(["openssl", "req", "-x509", *KINDS[kind], "-nodes", "-keyout", key, "-out", certificate,
                    "-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
                   check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    both.chmod(0o600)
    return both
