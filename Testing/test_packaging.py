"""What is shipped is what is tracked, it imports where nothing else lies, and the index accepts it."""

import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("TACEResponse", "TACEResponseTraining")
SCRIPTED = "lib/Slicer-5.13/qt-scripted-modules"
#: What Slicer 5.12 bundles; pip must not move it.
BUNDLED = {
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "simpleitk": "2.5.5",
    "pydicom": "3.0.2",
    "requests": "2.34.2",
}
REQUIREMENTS = (
    ROOT / "TACEResponse/Resources/TACEResponseRequirements.txt",
    ROOT / "TACEResponseTraining/Resources/TACEResponseTrainingRequirements.txt",
)


def tracked_files() -> list[str]:
    """Paths that git knows, or every file of a source archive."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_file()]


def cmake_list(module: str, name: str) -> list[str]:
    text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf"set\({name}\n(.*?)\n  \)", text, re.DOTALL).group(1).split()


def listed_files() -> list[str]:
    """Every file of both modules, as it is called in the flat folder."""
    kinds = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")
    return [name for module in MODULES for kind in kinds for name in cmake_list(module, kind)]


def test_pip_installs_every_package_of_the_library():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        p.parent.relative_to(ROOT / "TACEResponse") for p in ROOT.glob("TACEResponse/TACEResponseLib/**/*.py")
    }
    packages = {".".join(folder.parts) for folder in folders} | {"TACEResponseLib.DemonstrationBundle"}
    assert set(settings["packages"]) == packages


@pytest.mark.parametrize("module", MODULES)
def test_every_tracked_file_of_a_module_is_listed_in_its_cmake_file(module):
    tracked = {name.removeprefix(f"{module}/") for name in tracked_files() if name.startswith(f"{module}/")}
    tracked = {name for name in tracked if name != "CMakeLists.txt" and "__pycache__" not in name}
    scripts, resources = (cmake_list(module, f"MODULE_PYTHON_{kind}") for kind in ("SCRIPTS", "RESOURCES"))
    assert tracked - {*scripts, *resources} == set(), f"add these to {module}/CMakeLists.txt"
    assert {*scripts, *resources} - tracked == set(), f"{module}/CMakeLists.txt lists what is not tracked"
    assert [name for name in resources if name.endswith(".py")] == []
    assert [name for name in scripts if not name.endswith(".py")] == []


def test_names_do_not_meet_in_the_flat_folder_of_all_modules():
    names = listed_files()
    assert len(names) == len(set(names))
    loose = [name for name in names if "/" not in name]
    assert loose == [f"{module}.py" for module in MODULES]  # any other would count as a module
    for name in names:
        assert "TACEResponse" in name, f"{name} could meet a file of another extension"


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The folder of scripted modules that CMake installs, configured with the stub."""
    if importlib.util.find_spec("cmake") is None:
        pytest.skip("cmake is not installed here (pip install cmake)")
    folder = tmp_path_factory.mktemp("gebäut aus Quellen")
    stub = ROOT / "Testing/cmake_stub"
    for arguments in (
        ["-S", str(ROOT), "-B", str(folder / "build"), f"-DSlicer_DIR={stub}", "-Wno-dev"],
        ["--build", str(folder / "build")],
        ["--install", str(folder / "build"), "--prefix", str(folder / "installed")],
    ):
        run_cmake(arguments)
    return folder / "installed" / SCRIPTED


def run_cmake(arguments: list[str], fails: bool = False) -> str:
    from cmake import CMAKE_BIN_DIR

    program = Path(CMAKE_BIN_DIR) / ("cmake.exe" if os.name == "nt" else "cmake")
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    output = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, output
    return output


def relative_files(folder: Path) -> set[str]:
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }


def test_the_installed_tree_holds_every_listed_file_and_the_bundles_that_ship(installed):
    bundles = [ROOT / "Resources" / name for name in ("DemonstrationBundle", "PublicCohortBundle")]
    shipped = {f"TACEResponseLib/{b.name}/{name}" for b in bundles for name in relative_files(b)}
    expected = {*listed_files(), *shipped}
    assert relative_files(installed) == expected
    built = installed.parents[2].parent / "build" / SCRIPTED
    assert relative_files(built) == expected


def test_every_installed_file_imports_where_the_sources_are_not_on_the_path(installed, tmp_path):
    if importlib.util.find_spec("slicer") is None or importlib.util.find_spec("PySide6") is None:
        pytest.skip("slicer-core or PySide6-Essentials is not installed here")
    shutil.copytree(
        ROOT / "Testing/slicer_host",
        tmp_path / "Testing/slicer_host",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    script = tmp_path / "import_all.py"
    script.write_text(
        "import importlib, sys\n"
        "from pathlib import Path\n"
        "installed = Path(sys.argv[1])\n"
        "sys.path.insert(0, str(Path(__file__).parent / 'Testing'))\n"
        "from slicer_host import application\n"
        "application.start()\n"
        "sys.path.insert(0, str(installed))\n"
        "names = [p.relative_to(installed).with_suffix('').as_posix().replace('/', '.')\n"
        "         for p in sorted(installed.rglob('*.py'))]\n"
        "for name in names:\n"
        "    module = importlib.import_module(name.removesuffix('.__init__'))\n"
        "    assert Path(module.__file__).is_relative_to(installed), module.__file__\n"
        "from TACEResponseLib.bundle import demonstration_bundle\n"
        "assert demonstration_bundle().is_relative_to(installed)\n"
        "print(len(names), 'files imported')\n",
        encoding="utf-8",
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(script), str(installed)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) == len(list(installed.rglob("*.py")))


def test_the_stub_refuses_what_slicer_would_refuse(tmp_path):
    if importlib.util.find_spec("cmake") is None:
        pytest.skip("cmake is not installed here (pip install cmake)")
    (tmp_path / "There.py").touch()
    for call, words in (
        ("slicerMacroBuildScriptedModule(NAME M SCRIPTS Missing.py)", "there is no"),
        ("slicerMacroBuildScriptedModule(NAME M SCRIPT There.py)", "does not know"),
        ("slicer_add_python_unittest(SCRIPTS There.py)", "does not know"),
    ):
        lines = ["cmake_minimum_required(VERSION 3.28)", "project(P NONE)", "find_package(Slicer REQUIRED)"]
        text = "\n".join([*lines, "include(${Slicer_USE_FILE})", call, ""])
        (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
        stub = ROOT / "Testing/cmake_stub"
        arguments = ["-S", str(tmp_path), "-B", str(tmp_path / "build"), f"-DSlicer_DIR={stub}"]
        assert words in run_cmake(arguments, fails=True)


def metadata() -> dict[str, str]:
    """EXTENSION_... of the top CMakeLists, as the index's script reads them: literal, one line each."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]*)"\)', text, re.MULTILINE))


def test_the_index_entry_follows_its_schema():
    entry = json.loads((ROOT / "TACEResponse.json").read_text(encoding="utf-8"))
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    texts = dict.fromkeys(("$schema", "category", "scm_url", "scm_revision", "scm_type"), str)
    allowed = {**texts, "build_subdirectory": str, "build_dependencies": list, "enabled": bool, "tier": int}
    assert set(entry) <= set(allowed)
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert all(isinstance(value, allowed[key]) for key, value in entry.items())
    assert 1 <= entry["tier"] <= 5
    assert entry["category"] == metadata()["CATEGORY"]


def test_the_index_entry_and_the_cmake_file_tell_the_same_story():
    entry = json.loads((ROOT / "TACEResponse.json").read_text(encoding="utf-8"))
    repository = entry["scm_url"].removesuffix(".git").rpartition("/")[2]
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    name = re.search(r"^project\((\w+)\)", text, re.MULTILINE).group(1)
    assert name == "TACEResponse"
    assert repository == f"Slicer{name}"
    assert metadata()["DEPENDS"] == "NA"
    assert entry["build_dependencies"] == []
    assert metadata()["HOMEPAGE"] == entry["scm_url"]
    addresses = [metadata()["ICONURL"], *metadata()["SCREENSHOTURLS"].split()]
    start = f"https://raw.githubusercontent.com/{entry['scm_url'].removeprefix('https://github.com/')}/main/"
    for address in addresses:
        assert address.startswith(start)
        assert address.endswith((".png", ".jpg"))
        assert (ROOT / address.removeprefix(start)).is_file(), f"{address} is not in the repository"


def test_the_partner_is_recommended_by_the_name_under_which_the_panel_installs_it_and_never_needed():
    code = (ROOT / "TACEResponse/TACEResponseSlicer/segmentator.py").read_text(encoding="utf-8")
    partner = re.search(r'^EXTENSION = "(\w+)"$', code, re.MULTILINE).group(1)
    assert metadata()["RECOMMENDS"].split() == [partner]
    assert partner not in metadata()["DEPENDS"]
    for name in MODULES:  # nor do the modules ask Slicer to load it before them
        module = (ROOT / name / f"{name}.py").read_text(encoding="utf-8")
        assert partner not in re.search(r"parent\.dependencies = (\[.*?\])", module).group(1)


@pytest.mark.parametrize("module", MODULES)
def test_icons_are_128_pixels_square(module):
    content = (ROOT / module / "Resources/Icons" / f"{module}.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (128, 128)


def test_the_repository_is_small_licensed_and_has_unix_line_ends():
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    assert sum((ROOT / name).stat().st_size for name in tracked_files()) < 100_000_000
    text = (".py", ".txt", ".md", ".json", ".ui", ".cmake", ".toml", ".html", ".css", ".csv")
    crlf = [n for n in tracked_files() if n.endswith(text) and b"\r\n" in (ROOT / n).read_bytes()]
    assert [name for name in crlf if not name.startswith("Testing/data/")] == []


def test_the_citation_names_this_version_this_repository_and_the_paper_of_the_readme():
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    version = (ROOT / "TACEResponse/TACEResponseLib/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{citation["version"]}"' in version
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "message", "type", "authors", "license"} <= set(citation)
    assert citation["repository-code"] == metadata()["HOMEPAGE"]
    assert [author["name"] for author in citation["authors"]] == [metadata()["CONTRIBUTORS"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    (paper,) = citation["references"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"https://doi.org/{paper['doi']}" in readme
    names = ", ".join(f"{author['family-names']} {author['given-names'][0]}" for author in paper["authors"])
    assert f"{names}. {paper['title'][:40]}" in readme


def test_requirements_agree_with_the_package_and_pin_nothing():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = {
        str(Requirement(r)) for r in (*project["dependencies"], *project["optional-dependencies"]["train"])
    }
    in_slicer = {Requirement(name).name.lower() for name in BUNDLED}
    lists = [[Requirement(line) for line in requirement_lines(path)] for path in REQUIREMENTS]
    names = [r.name.lower() for requirements in lists for r in requirements]
    assert len(names) == len(set(names)), "a package stands in both lists"
    assert "tensorflow" not in [r.name.lower() for r in lists[0]], "a prediction needs no framework"
    for requirement in (r for requirements in lists for r in requirements):
        assert str(requirement) in ours, f"{requirement} is not what pyproject.toml asks for"
        assert {s.operator for s in requirement.specifier} == {">="}
        assert requirement.name.lower() not in in_slicer, "Slicer bundles it"
    missing = {Requirement(r).name.lower() for r in ours} - set(names) - in_slicer
    assert missing == set(), "pyproject.toml asks for it, the module's lists do not"


def requirement_lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_pip_leaves_what_slicer_bundles_and_brings_no_package_named_slicer(tmp_path):
    reach = [sys.executable, "-m", "pip", "index", "versions", "pip", "--timeout=5", "--retries=0"]
    if subprocess.run(reach, capture_output=True, check=False).returncode:
        pytest.skip("no package index can be reached")
    constraints, report = tmp_path / "constraints.txt", tmp_path / "report.json"
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in BUNDLED.items()), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
               "--only-binary=:all:", "--python-version=3.12", f"--target={tmp_path}", f"--report={report}",
               "-c", str(constraints), *(f"-r{path}" for path in REQUIREMENTS)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0 and "No matching distribution found for packaging" in done.stderr:
        pytest.skip("the package index does not answer")
    assert done.returncode == 0, done.stderr
    resolved = {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"]
        for item in json.loads(report.read_text(encoding="utf-8"))["install"]
    }
    assert "slicer" not in resolved
    for name, version in BUNDLED.items():
        assert resolved.get(name, version) == version
    assert {"numba", "scikit-learn", "skops", "tensorflow"} <= set(resolved)


def lower_bounds() -> dict[str, set[str]]:
    """Package -> every lowest version that any list of requirements admits."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines += chain(*map(requirement_lines, REQUIREMENTS))
    bounds = {}
    for requirement in map(Requirement, lines):
        lowest = {s.version for s in requirement.specifier if s.operator in (">=", "==")}
        bounds.setdefault(requirement.name.lower().replace("_", "-"), set()).update(lowest)
    return bounds


def test_every_list_admits_the_same_lowest_versions_and_those_were_tried_together():
    bounds = lower_bounds()
    assert {name: lowest for name, lowest in bounds.items() if len(lowest) != 1} == {}
    assert bounds["skops"] == {"0.14"}
    tried = dict(line.lower().split("==") for line in requirement_lines(ROOT / "Testing/lowest-versions.txt"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}
    assert set(tried) == needed
    assert {name: {version} for name, version in tried.items()} == {name: bounds[name] for name in needed}


def test_what_is_installed_here_is_admitted():
    from importlib import metadata

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), (
            requirement
        )
