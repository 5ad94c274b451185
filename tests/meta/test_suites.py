"""Every test is run by `make test` or by `make test-all`, and by one of the two only."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kernel.suite import CHOSEN, EVERYTHING, LEFT_OUT, TOGETHER, arguments
from tests.meta.tree import ROOT, files, shown

TESTS = [path for path in files() if path.name.startswith("test_") and path.suffix == ".py"]
RECIPE = re.compile(r"(?m)^(test[a-z-]*):.*\n((?:\t.*\n)+)")


def _recipes() -> dict[str, str]:
    return dict(RECIPE.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def test_what_one_command_leaves_out_the_other_runs() -> None:
    """The first runs all of tests/ but two markers; the second runs these two, each in its way."""
    recipes = _recipes()
    settings = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert re.search(r"(?m)^testpaths = tests$", settings)
    assert '-m "not long and not guest"' in recipes["test"]
    assert re.search(r"-m pytest .*-m long ", recipes["test-long"])
    assert "-m tests.kernel" in recipes["test-guest"]
    whole, chosen = (recipes[name].split() for name in ("test-guest", "test-guest-chosen"))
    assert [*whole[:-1], "--chosen"] == chosen
    marked = [shown(p) for p in TESTS if re.search(r"pytest\.mark\.guest\b", p.read_text(encoding="utf-8"))]
    assert set(marked) - {shown(Path(__file__))} <= set(CHOSEN), "nothing else runs what needs the guest"
    assert {"test-long", "test-guest-chosen"} <= set(recipes["test-all"].split())


def test_continuous_integration_runs_both() -> None:
    commands = re.findall(r"(?m)^(?:exec )?make (\S+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert commands == ["test", "test-all"]


def test_the_guest_runs_its_own_tests_and_leaves_out_what_exists_for_a_reason() -> None:
    assert "tests/kernel" in EVERYTHING and "tests/integration" in EVERYTHING
    for path, reason in LEFT_OUT:
        file, _, test = path.partition("::")
        assert (ROOT / file).exists(), f"{path} is left out of the guest, but there is no such file"
        assert not test or f"def {test.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8")
        assert path.startswith("tests/integration/") and len(reason.split()) > 4
    assert len(LEFT_OUT) == sum(word.startswith(("--ignore=", "--deselect=")) for word in arguments())
    assert all((ROOT / path).exists() for group in TOGETHER for path in group)


def test_what_is_chosen_for_the_guest_exists_and_runs_in_the_whole_as_well() -> None:
    left = {path for path, _ in LEFT_OUT}
    for chosen in CHOSEN:
        file, _, test = chosen.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not test or f"def {test.partition('[')[0]}(" in text, chosen
        assert not {chosen, chosen.partition("[")[0], file} & left


def test_what_asks_about_the_data_path_is_long_and_runs_in_the_guest_as_well() -> None:
    assert arguments()[len(EVERYTHING) :][:2] == ["-m", "not long or datapaths"]
    both = [
        p for p in TESTS if "pytest.mark.datapaths" in p.read_text(encoding="utf-8") and p != Path(__file__)
    ]
    assert both and all("pytest.mark.long" in path.read_text(encoding="utf-8") for path in both)
    left = {path for path, _ in LEFT_OUT}
    assert not [shown(path) for path in both if shown(path) in left]


def test_no_test_file_lies_where_nothing_looks() -> None:
    assert len(TESTS) > 50
    stray = [shown(p) for p in TESTS if p.relative_to(ROOT).parts[0] != "tests"]
    assert not stray, f"{stray}: pytest looks below tests/ only"


def test_the_page_tells_what_the_guest_leaves_out() -> None:
    page = Path(ROOT / "docs" / "kernel-datapath.md").read_text(encoding="utf-8")
    missing = [path for path, _ in LEFT_OUT if f"`{path}`" not in page]
    assert not missing, f"docs/kernel-datapath.md does not name {missing}"
