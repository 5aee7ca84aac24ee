"""docs/architecture.md agrees with pyproject.toml and the files, and every important place takes one look-up."""

import re
import subprocess
import tomllib

import pytest

from tests.checkouts import PROJECT

PAGE = (PROJECT / "docs/architecture.md").read_text()
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = {
    "backend": next(contract for contract in CONTRACTS if contract.get("containers") == ["backend"])["layers"],
    "api": next(contract for contract in CONTRACTS if "api.managersite" in contract.get("layers", ()))["layers"],
}
PLACE = re.compile(r"`((?:api|backend|tests|deploy|docs)/[\w./]+?)(?::(\w+))?`")
WALKS = ("A user signs in", "Staff complete a task", "A log record reaches its file")

# The questions of a new colleague, and the file that answers each.
LOOK_UPS = {
    "login throttle": "api/accounts/throttle.py",
    "pagination": "api/rest/pagination.py",
    "admin start page (dashboard)": "api/admin_sites/dashboard.py",
    "text of the reset email": "api/templates/api/accounts/password_reset.txt",
    "which package may import which": "pyproject.toml",
    "redaction of a log record": "backend/redaction/__init__.py",
    "declaration of an audit event": "api/audit/events.py",
    "decision about a permission": "api/common/rules.py",
    "registration of a background job": "api/operations/job_schedule.py",
    "adding a list filter": "api/tasks/selectors.py",
}
# The standard term in a file leads there as well.
GREPS = {
    "login throttle": "api/accounts/throttle.py",
    "pagina": "api/rest/pagination.py",
    "dashboard": "api/admin_sites/dashboard.py",
    "importlinter": "pyproject.toml",
    "redact": "backend/redaction/__init__.py",
    "background job": "api/operations/job_schedule.py",
    "list_filter": "api/tasks/admin.py",
}


def section(heading: str) -> str:
    text = PAGE.split(f"# {heading}", 1)[1].split("\n", 1)[1]
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its header."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def packages(heading: str) -> list[str]:
    return [row[1].strip("`") for row in rows(heading)]


@pytest.mark.parametrize("root", ["backend", "api"])
def test_package_table_has_the_levels_of_the_import_contract(root):
    names = [[f"{root}.{name.strip().removeprefix('api.')}" for name in layer.split("|")] for layer in LAYERS[root]]
    expected = {(str(level), name.replace(".", "/")) for level, layer in enumerate(names, 1) for name in layer}
    listed = [(row[0], row[1].strip("`")) for row in rows(root)]
    assert set(listed) == expected
    assert [int(level) for level, _ in listed] == sorted(int(level) for level, _ in listed)


@pytest.mark.parametrize("root", ["backend", "api"])
def test_package_table_has_every_folder_with_code(root):
    folders = {path.parent.relative_to(PROJECT).as_posix() for path in (PROJECT / root).glob("*/__init__.py")}
    assert folders - {"api/migrations"} <= set(packages(root))


def test_contract_keeps_rest_framework_out_of_every_service_and_selector():
    (contract,) = [contract for contract in CONTRACTS if contract.get("forbidden_modules") == ["rest_framework"]]
    paths = [path for name in ("service", "services", "selectors") for path in PROJECT.glob(f"api/*/{name}.py")]
    modules = {".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in paths}
    assert len(modules) > 8
    assert modules <= set(contract["source_modules"])


def test_every_named_file_and_symbol_exists():
    places = PLACE.findall(PAGE)
    assert len(places) > 100
    for name, symbol in places:
        path = PROJECT / name
        path = path if path.exists() else path.with_suffix(".py")
        assert path.exists(), name
        if symbol:
            definition = rf"^\s*(?:class|def) {symbol}\b|^{symbol}\b.*="
            assert re.search(definition, path.read_text(), re.MULTILINE), f"{name}:{symbol}"


def test_every_row_names_its_tests():
    for heading, column in (("backend", 4), ("api", 4), ("Where is ...?", 2)):
        for row in rows(heading):
            assert re.search(r"`tests/[\w/]+\.py`", row[column]), row


@pytest.mark.parametrize("walk", WALKS)
def test_every_step_of_a_request_names_a_file(walk):
    steps = re.findall(r"^\d+\. (.+)$", section(walk), re.MULTILINE)
    assert len(steps) >= 7
    for step in steps:
        assert PLACE.search(step) or step.startswith("It "), step


def test_page_answers_at_least_twenty_questions():
    assert len({row[0] for row in rows("Where is ...?")}) >= 20


@pytest.mark.parametrize(("question", "file"), LOOK_UPS.items(), ids=LOOK_UPS)
def test_question_is_answered_by_one_row_of_the_page(question, file):
    (row,) = [row for row in rows("Where is ...?") if row[0] == question]
    assert f"`{file}" in row[1]
    assert (PROJECT / file).exists()


@pytest.mark.parametrize(("term", "file"), GREPS.items(), ids=GREPS)
def test_grep_for_the_standard_term_lists_the_file(term, file):
    command = ["grep", "--recursive", "--ignore-case", "--files-with-matches", "--binary-files=without-match", term]
    targets = ["api", "backend", "pyproject.toml"]
    listing = subprocess.run([*command, *targets], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert file in listing.stdout.splitlines()
