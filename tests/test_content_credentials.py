"""Content Credentials: a signed copy reads back with its certificate and its source type, and breaks when changed."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
from PIL import Image

from ganvas.imaging.content_credentials import ContentSigner, declared_type, files_to_sign
from ganvas.imaging.provenance import COMPOSITE, GENERATED, png_mark


def test_the_source_type_is_read_from_the_file(tmp_path):
    for source_type in (GENERATED, COMPOSITE, None):
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png", **png_mark(source_type))
        assert declared_type(tmp_path / "a.png") == (source_type or GENERATED)


def test_what_can_be_signed_is_listed(tmp_path, command):
    for name in ("b.png", "a.jpg", "c.bmp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert [s.name for s, _ in files_to_sign(tmp_path, tmp_path / "out")] == ["a.jpg", "b.png"]
    options = ("--certificate", tmp_path / "none.pem", "--key", tmp_path / "none.pem")
    code, _, err = command("sign", "-i", tmp_path / "c.bmp", "-o", tmp_path / "out.bmp", *options)
    assert code == 2
    assert "c.bmp cannot be signed; .png" in " ".join(err.split())


@pytest.fixture
def keys(tmp_path):
    """A certificate of a made-up authority, its chain, and its key."""
    pytest.importorskip("c2pa")
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)

    def certify(name, issuer=None):
        key = ec.generate_private_key(ec.SECP256R1())
        names = [(NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, "Test")]
        subject = x509.Name([x509.NameAttribute(*pair) for pair in names])
        by, signer = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
        root = issuer is None
        builder = x509.CertificateBuilder(
            by, subject, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        builder = builder.add_extension(x509.BasicConstraints(root, None), True)
        usage = x509.KeyUsage(True, False, False, False, False, root, root, False, False)
        builder = builder.add_extension(usage, True)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        if not root:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return builder.sign(signer, hashes.SHA256()), key

    root = certify("root")
    leaf, key = certify("leaf", root)
    pem = serialization.Encoding.PEM
    (tmp_path / "chain.pem").write_bytes(leaf.public_bytes(pem) + root[0].public_bytes(pem))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    return tmp_path / "chain.pem", tmp_path / "key.pem"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_signed_copy_reads_back_and_breaks_when_changed(tmp_path, keys, name):
    import c2pa

    source, output = tmp_path / name, tmp_path / f"signed-{name}"
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(source, **(png_mark(COMPOSITE) if name == "a.png" else {}))
    expected = COMPOSITE if name == "a.png" else GENERATED
    assert ContentSigner(*keys).sign(source, output) == expected
    assert (np.asarray(Image.open(output)) == np.asarray(Image.open(source))).all()
    stored = json.loads(c2pa.Reader(output).json())
    manifest = stored["manifests"][stored["active_manifest"]]
    assert manifest["signature_info"]["common_name"] == "leaf"
    assert expected in json.dumps(manifest["assertions"])
    assert {s["code"] for s in stored["validation_status"]} == {"signingCredential.untrusted"}  # of a made-up authority
    data = bytearray(output.read_bytes())
    data[-20] ^= 1
    output.write_bytes(data)
    changed = {s["code"] for s in json.loads(c2pa.Reader(output).json())["validation_status"]}
    assert any(code.endswith("mismatch") for code in changed)  # of the content, or of the signature itself


def test_the_command_signs_a_folder_and_refuses_a_key_that_is_none(tmp_path, keys, command):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name)
    options = ("-i", tmp_path / "in", "-o", tmp_path / "out", "--certificate", keys[0], "--key")
    code, out, _ = command("sign", *options, keys[1], "--json")
    assert code == 0
    assert json.loads(out)["signed"] == 2
    code, _, err = command("sign", *options, keys[0])
    assert code == 2
    assert "holds no private key in PEM" in " ".join(err.split())
