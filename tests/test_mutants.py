import pytest
from mutants import MUTANTS, ROOT, Mutant

from tembed.parity.cases import GROUPS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_finds_the_one_place_it_breaks(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.tests in GROUPS or (ROOT / "tests" / mutant.tests).is_file()
