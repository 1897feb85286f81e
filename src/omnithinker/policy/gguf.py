"""Models in GGUF files: unpacked once into a folder of the user's cache, then loaded like any other folder.

Does not import torch before it unpacks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omnithinker.errors import BadInput, reason_of
from omnithinker.io.files import writing

SUFFIX = ".gguf"
"""Ending of the names of GGUF files."""
PACKAGES = ("gguf", "accelerate")
"""Packages that transformers needs to read GGUF files."""
MARKS = ("hf_quantizer", "is_quantized", "quantization_method")
"""Attributes by which transformers still calls the unpacked model quantized, and refuses to save it."""


def is_gguf(source: str | Path) -> bool:
    """Return True if a model's name is that of a GGUF file."""
    return str(source).lower().endswith(SUFFIX)


def require_packages() -> None:
    """Check that the packages for GGUF files are installed.

    Raises:
        BadInput: if one is not; names the command that installs them.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise BadInput(f"GGUF files need the package {missing[0]!r}: pip install 'omnithinker[gguf]'")


def cache_folder(file: Path) -> Path:
    """Return the cache folder of a GGUF file; another file of that name, or a changed one, has another folder."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    caches = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    status = file.stat()
    identity = f"{file.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n{version('transformers')}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return caches / "omnithinker" / "models" / f"{file.stem}-{digest}"


def unpack_into_cache(file: Path, note: Callable[[str], None] | None = None) -> Path:
    """Return the folder of an unpacked GGUF file; unpack it if that has not been done.

    Several processes may do so at once: one unpacks, the others wait.

    Args:
        file: the GGUF file.
        note: receives a message before a file is unpacked.

    Raises:
        BadInput: if the file or its architecture cannot be read, or the cache cannot be written to.
        DiskError: if the disk is full.
    """
    folder = cache_folder(file)
    if folder.is_dir():
        return folder
    require_packages()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                if note is not None:
                    note(f"unpacking {file} into {folder}, once; this takes a minute or more")
                unpack(file, folder)
    except OSError as error:
        raise BadInput(f"{folder.parent}: cannot write here: {error.strerror}; set XDG_CACHE_HOME") from error
    return folder


def unpack(file: Path, folder: Path, *, progress: bool = False) -> None:
    """Write the model of a GGUF file as a new folder with float32 weights and a tokenizer, atomically.

    Args:
        file: the GGUF file.
        folder: the folder to write.
        progress: show a progress bar on standard error if it is a terminal.

    Raises:
        BadInput: if the file or its architecture cannot be read.
        DiskError: if the disk is full.
        FileExistsError: if the folder exists.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        model, tokenizer = _read(file, progress and sys.stderr.isatty())
        with writing(folder):
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _read(file: Path, progress: bool) -> tuple[Any, Any]:
    """Load model and tokenizer from a GGUF file, without the marks of quantization."""
    import torch
    import transformers

    place, name = str(file.resolve().parent), file.resolve().name
    if not progress:
        transformers.utils.logging.disable_progress_bar()
    # That switch leaves out the progress bar of GGUF files.
    display = contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO())
    try:
        with display:
            tokenizer = transformers.AutoTokenizer.from_pretrained(place, gguf_file=name)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    except MemoryError:
        raise
    except Exception as error:  # the file may hold anything, and its readers check little
        reason = reason_of(error)
        raise BadInput(f"model {str(file)!r}: cannot be read as GGUF: {reason}") from error
    for mark in MARKS:
        model.__dict__.pop(mark, None)
    model.config.__dict__.pop("quantization_config", None)
    return model, tokenizer


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold a file's lock, and wait for it; the system releases that of a process which ends in any way.

    On a file system without locks several processes may unpack; each renames a whole folder.
    """
    with lock.open("a") as stream:
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
