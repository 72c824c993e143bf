"""What is installed, what is documented, and the image that is built of it: they must not drift apart."""

from __future__ import annotations

import re
from pathlib import Path

from fusion.errors import Refusal

ROOT = Path(__file__).resolve().parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def pinned(file: str) -> dict[str, str]:
    """Versions by normalised name."""
    found = re.findall(r"^([\w.-]+)==([^\s;+]+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_has_the_constraints_versions_and_a_hash_for_each() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    locked, constrained = pinned("requirements.lock"), pinned("constraints.txt")
    assert len(locked) == len(lines)
    assert locked == {name: version for name, version in constrained.items() if name in locked}
    asked = "".join((ROOT / file).read_text() for file in ("requirements.txt", "tests/requirements.txt"))
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w-]+)", asked, re.MULTILINE)}
    assert names - {"tomli"} <= set(locked)  # that one is for Python 3.10 alone


def test_security_tells_every_code_and_names_tests_that_exist() -> None:
    for refusal in Refusal:
        assert f"`{refusal.value}`" in SECURITY
    rows = re.findall(r"^\| (\d+) \|.*$", SECURITY, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 18)]
    for name in set(re.findall(r"`(test_\w+\.py)`", SECURITY)):
        assert (ROOT / "tests" / name).exists(), name
    for name in set(re.findall(r"`((?:fusion|tests)[/.]\w[\w/.]*)", SECURITY)):
        path = name if name.endswith(".py") else name.replace(".", "/")
        places = (ROOT / path, ROOT / f"{path}.py", (ROOT / path).parent.with_suffix(".py"))
        assert any(place.exists() for place in places), name


def test_the_image_is_of_a_fixed_base_runs_as_nobody_and_says_how_it_is() -> None:
    assert re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE) == ["python:3.12-slim-bookworm"]
    (user,) = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert "/healthz" in DOCKERFILE.partition("HEALTHCHECK")[2]
    assert "--no-cache-dir" in DOCKERFILE
    assert re.findall(r"^(?:CMD|ENTRYPOINT) (.)", DOCKERFILE, re.MULTILINE) == ["["]
    copied = [source for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()]
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(allowed)
    for source in copied:
        assert (ROOT / source).exists()
