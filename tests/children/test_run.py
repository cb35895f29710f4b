"""run_stage calls functions of pipeline.children and nothing else, and answers expected errors as results."""

import pytest

from pipeline.children.run import find_stage, run_stage
from pipeline.children.stage import FileRef, StageSpec


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "../../x:y", "run", "a.b:c", "run:_name", ":", ""])
def test_a_name_outside_the_children_finds_nothing(name: str) -> None:
    with pytest.raises((LookupError, ImportError, AttributeError)):
        find_stage(name)


def test_an_expected_error_is_a_result_with_its_code() -> None:
    spec = StageSpec(stage="pdf_stage:text", inputs=(FileRef(root="none", path="x"),))
    result = run_stage(spec, {})
    assert result.code == "path-outside-roots"
    assert result.seconds >= 0
