"""Point the badges and set-up cells at another repository: make links REPO=owner/name."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(repository: str) -> None:
    """Replace the repository that pyproject.toml names, there and wherever it is used."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        sys.exit(f"{repository!r} is not of the form owner/name.")
    settings = ROOT / "pyproject.toml"
    before = re.search(r'^Repository = "https://github.com/(.*)"$', settings.read_text(), re.MULTILINE)[1]
    notebooks = [path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    for path in [settings, ROOT / "README.md", *sorted(notebooks)]:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(before, repository), encoding="utf-8")
    print(f"{before} is now {repository}. If you teach the course lab, run `make lab-release` too.")


if __name__ == "__main__":
    main(sys.argv[1])
