"""The key and certificates that credentials are signed with.

A signer is one PEM file: the private key, its certificate, and the certificates that vouch for it, up to the root. Where none is
set, one is made on the spot, signed by a root of its own that nobody knows: good enough to see that a file is whole and came
from this workspace, and no more.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from talkhead_core.errors import InputError

__all__ = ["Signer", "local_signer", "read_signer"]

_LIFETIME = timedelta(days=3650)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A private key with its certificates.

    Args:
        algorithm: as C2PA calls it, such as ``es256``.
        private_key: PEM.
        certificates: PEM, the key's own first, the root last.
        root: PEM of the root alone: what others must trust.
    """

    algorithm: str
    private_key: bytes
    certificates: bytes
    root: bytes

    def __repr__(self) -> str:
        return f"Signer({self.algorithm})"  # never the key, which would end in a log


def local_signer(path: Path) -> Signer:
    """The workspace's own signer in ``path``, made when there is none; readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(_self_signed())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)  # fails where another process was first, whose signer then counts
        except FileExistsError:
            pass
        finally:
            Path(name).unlink()
    return read_signer(path)


def read_signer(path: Path) -> Signer:
    """The signer in a PEM file.

    Raises:
        InputError: no such file, or not a private key with its certificates.
    """
    advice = "give one PEM file with the private key (not encrypted), its certificate and those above it"
    try:
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        chain = x509.load_pem_x509_certificates(content)
        matches = chain[0].public_key() == key.public_key()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise InputError(f"{path}: is no signer; {advice}") from error
    if not matches:
        raise InputError(f"{path}: the first certificate is not that of the private key; {advice}")
    return Signer(
        algorithm=_algorithm(key, path),
        private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificates=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain),
        root=chain[-1].public_bytes(Encoding.PEM),
    )


def _algorithm(key: object, path: Path) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise InputError(f"{path}: C2PA knows no such kind of key; take P-256, P-384, P-521, Ed25519 or RSA")


def _self_signed() -> bytes:
    """A new key and its certificate under a new root, whose own key is forgotten at once."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name("talkhead test root"), _name("talkhead, this workspace")
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    root = _certificate(root_name, root_name, root_key, root_key, authority=True).sign(root_key, hashes.SHA256())
    own = _certificate(name, root_name, key, root_key, authority=False).add_extension(usage, critical=True).sign(root_key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + own.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "talkhead (self-signed, for tests)")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.CertificateBuilder:
    """A certificate as the C2PA specification wants it (2.x, "Certificate Profile")."""
    start = datetime.now(UTC) - timedelta(days=1)
    uses = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    uses |= {"encipher_only": False, "decipher_only": False}
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **uses), critical=True)
    )
