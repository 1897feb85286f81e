"""Build the wheel, install it into an empty environment, and run a study from an empty folder.

    python scripts/wheel_test.py
    python scripts/wheel_test.py --dependencies download
    python scripts/wheel_test.py --set training.max_steps=2

By default the new environment borrows the dependencies of the Python that runs this script, so that nothing is
downloaded; ``--dependencies download`` installs them from the package index under ``constraints.txt``. Further
arguments go to ``omnithinker study lab-quick``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCATE = "import omnithinker; print(omnithinker.__file__)"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without this environment's ``PYTHONPATH``; return its output, which is printed too."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    print("+", *command, flush=True)
    lines = []
    with subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with exit code {process.returncode}")
    return "".join(lines)


def build(folder: Path) -> Path:
    """Build the wheel from a copy of the source, with this environment's setuptools or else in isolation."""
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", folder, copy]
    run(*command, cwd=folder)
    (wheel,) = folder.glob("omnithinker-*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Compare the wheel's files with the source's: a data file that is not declared would be missing."""
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "omnithinker").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        contents = {name for name in archive.namelist() if name.startswith("omnithinker/")}
    if difference := expected ^ contents:
        raise SystemExit(f"{wheel.name} and src/ differ in: {', '.join(sorted(difference))}")


def install(wheel: Path, environment: Path, dependencies: str) -> Path:
    """Install the wheel into a new environment; return the environment's folder of programs."""
    venv.create(environment, with_pip=dependencies == "download")
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    if dependencies == "download":
        constraints = ROOT / "constraints.txt"
        run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel, cwd=environment)
    else:
        target = [sys.executable, "-m", "pip", "--python", python]
        run(*target, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=environment)
        torch = importlib.util.find_spec("torch")
        if torch is None or torch.origin is None:
            raise SystemExit("this Python has no torch to borrow; use --dependencies download")
        packages = next((environment / "lib").glob("python*/site-packages"))
        # The added folder comes after the environment's own, and .pth files in it are not read.
        (packages / "borrowed.pth").write_text(f"{Path(torch.origin).parents[1]}\n")
    return programs


def main() -> None:
    """Run the test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dependencies", choices=("borrow", "download"), default="borrow")
    args, study = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "empty").mkdir()
        wheel = build(folder)
        check_contents(wheel)
        programs = install(wheel, folder / "environment", args.dependencies)
        module = run(programs / "python", "-c", LOCATE, cwd=folder / "empty").strip()
        if not Path(module).is_relative_to(folder / "environment"):
            raise SystemExit(f"omnithinker was imported from {module}, not from the wheel")
        run(programs / "omnithinker", "recipes", cwd=folder / "empty")
        run(programs / "omnithinker", "study", "lab-quick", *study, cwd=folder / "empty")
        if not (report := folder / "empty/runs/lab-quick/report.html").is_file():
            raise SystemExit(f"the study wrote no {report}")
    print("wheel test passed")


if __name__ == "__main__":
    main()
