"""Write the repository's address into the notebooks, the README and pyproject.toml: make links [REPO=owner/name].

Without REPO it is that of git's remote "origin".  Where there is none, badges and links to it are taken out, since
they would lead nowhere.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIELD = "https://colab.research.google.com/assets/colab-badge.svg"
ADDRESS = r"(?:https://|ssh://)?(?:git@)?github\.com[/:](.+?)(?:\.git)?/?"


def main(repository: str) -> None:
    """Point everything at a repository on GitHub, owner/name; or at none, if it is empty."""
    repository = repository or remote()
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        sys.exit(f"{repository!r} is not of the form owner/name.")
    home = address(repository)
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            link_notebook(path, home)
    readme, settings = ROOT / "README.md", ROOT / "pyproject.toml"
    first = badge(home, "notebooks/00_start_here.ipynb")
    rewrite(readme, with_badge(readme.read_text(encoding="utf-8"), first))
    text = re.sub(r'\[project\.urls\]\nRepository = ".*"\n\n', "", settings.read_text(encoding="utf-8"))
    urls = f'[project.urls]\nRepository = "{home}"\n\n' if home else ""
    rewrite(settings, text.replace("[project.scripts]", f"{urls}[project.scripts]"))
    print(f"Everything points at {home}." if home else "git knows no remote on GitHub, so nothing points at one.")
    print("If you teach the course lab, run `make lab-release` too.")


def address(repository: str) -> str:
    """Return the address of owner/name on GitHub; empty if there is no repository."""
    return f"https://github.com/{repository}" if repository else ""


def remote() -> str:
    """Return owner/name of the remote on GitHub that git calls origin; empty if there is none."""
    asked = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT, capture_output=True, text=True)
    found = re.fullmatch(ADDRESS, asked.stdout.strip())
    return found[1] if found else ""


def link_notebook(path: Path, address: str) -> None:
    """Write the address into a notebook's setup cell, and its badge under the title."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    place = re.sub(r"course_lab/source/.*/", "lab/", path.relative_to(ROOT).as_posix())  # students open the release
    set_up = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    title = notebook["cells"][0]
    for cell, text in (
        (title, with_badge("".join(title["source"]), badge(address, place))),
        (set_up, re.sub(r'^REPOSITORY = ".*?"', f'REPOSITORY = "{address}"', "".join(set_up["source"]), flags=re.M)),
    ):
        cell["source"] = text if isinstance(cell["source"], str) else text.splitlines(keepends=True)
    rewrite(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def badge(address: str, place: str) -> str:
    """Return the line that opens a notebook in Colab; empty if there is no address."""
    opened = f"{address.replace('https://github.com', 'https://colab.research.google.com/github')}/blob/main/{place}"
    return f"[![Open in Colab]({SHIELD})]({opened})\n\n" if address else ""


def with_badge(text: str, line: str) -> str:
    """Return a text that begins with a title, with this badge under it in place of any other."""
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n{line}" + re.sub(r"^\[!\[Open in Colab\]\(.*\n\n", "", rest)


def rewrite(path: Path, text: str) -> None:
    """Write a file if its text changes."""
    if text != path.read_text(encoding="utf-8"):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
