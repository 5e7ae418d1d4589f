import json
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adjourn_local.errors import PackageError
from adjourn_local.packaging.bundle import Application, bundles, write
from adjourn_local.packaging.inspection import compile_all, refuse


def private_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def database(folder: Path) -> bytes:
    path = folder / "made"
    with sqlite3.connect(path) as connection:
        connection.execute("create table prices (price)")
    return path.read_bytes()


def refusal(name: str, content: bytes = b"x", *allowed: str) -> str:
    with pytest.raises(PackageError) as refused:
        refuse({"shop/tasks.py": b"", name: content}, allowed)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("shop/tls.key", "a key"),
        ("shop/store.P12", "a key"),
        ("shop/id_ed25519", "a key"),
        ("terraform.tfstate", "state or plan of Terraform"),
        ("infra/terraform.tfstate.backup", "state or plan of Terraform"),
        ("infra/plan.tfplan", "state or plan of Terraform"),
        ("shop/dev.sqlite3", "a database"),
        ("shop/dev.db", "a database"),
        ("shop/orders.sql", "a dump of a database"),
        ("shop/orders.sql.gz", "a dump of a database"),
        ("out/deferred-0123456789abcdef.zip", "output of adjourn package"),
        ("out/adjourn.auto.tfvars.json", "output of adjourn package"),
    ],
)
def test_secrets_and_data_are_known_by_their_names(name: str, why: str) -> None:
    said = refusal(name)

    assert f"- {name}: " in said
    assert why in said
    assert "shop/tasks.py" not in said
    refuse({name: b"x"}, [name])
    if "/" in name:
        refuse({name: b"x"}, [name.partition("/")[0] + "/"])


def test_secrets_and_data_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    account = {"type": "service_account", "private_key": "...", "client_email": "a@b.example"}
    person = {"type": "authorized_user", "refresh_token": "1//"}

    assert "- shop/cert.txt: a private key" in refusal("shop/cert.txt", private_key())
    assert "- shop/prices: a database" in refusal("shop/prices", database(tmp_path))
    for told in (account, person):
        content = json.dumps(told).encode()
        assert "- shop/web.json: credentials of Google Cloud" in refusal("shop/web.json", content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("shop/cert.pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("shop/keys.py", b"MARK = '-----BEGIN PRIVATE KEY-----'\n"),
        ("shop/types.json", b'{"type": "service_account"}'),
        ("shop/list.json", b'["service_account"]'),
        ("shop/type.json", b'{"type": ["service_account"]}'),
        ("shop/manifest.json", b'{"version": 1, "name": "an app for phones"}'),
        ("shop/broken.json", b"{"),
        ("shop/keynote.txt", b""),
    ],
)
def test_what_only_looks_like_it_is_taken(name: str, content: bytes) -> None:
    refuse({name: content}, [])


def test_an_allowance_that_is_not_needed_is_told() -> None:
    with pytest.raises(PackageError, match=r"--allow shop/tsl\.key: no such file would"):
        refuse({"shop/tls.key": b""}, ["shop/tls.key", "shop/tsl.key"])


def test_an_earlier_package_is_told_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "shop").mkdir(parents=True)
    (source / "shop" / "tasks.py").write_text("app = 1\n")
    application = Application(spec="shop.tasks:app", source=source, include=["."])
    write(source / "build", application.spec, bundles(application))

    with pytest.raises(PackageError) as refused:
        bundles(application)

    assert str(refused.value).splitlines()[2:] == ["- build/: output of adjourn package"]


def test_a_file_that_does_not_compile_is_told_with_its_line() -> None:
    files = {
        "shop/tasks.py": b"app = 1\n",
        "shop/old.py": b"app = 1\nprint 'hello'\n",
        "shop/null.py": b"app = '\0'\n",
        "shop/template.txt": b"def {{ name }}\n",
    }

    with pytest.raises(PackageError) as refused:
        compile_all(files)

    told = [line for line in str(refused.value).splitlines() if line.startswith("- ")]
    null, old = told
    assert null.startswith("- shop/null.py")
    assert old.startswith("- shop/old.py, line 2: ")


def test_a_warning_of_the_compiler_is_no_mistake() -> None:
    compile_all({"shop/tasks.py": b"assert (1, 'always')\nx = '\\d'\n"})


def test_a_package_with_such_a_file_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tasks.py").write_text("app = 1\n")
    (tmp_path / "shop" / "later.py").write_text("app = (\n")
    application = Application(spec="shop.tasks:app", source=tmp_path)

    with pytest.raises(PackageError, match=r"- shop/later\.py, line 1"):
        bundles(application)
