from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.yaml_text import is_below
from app.project.directories import Directories

PATHS = st.lists(st.sampled_from(["a", "b", "a!", "a0", "ab"]), max_size=4).map("/".join)


@given(directories=st.sets(PATHS), path=PATHS)
def test_bisection_finds_what_comparing_with_each_finds(directories: set[str], path: str) -> None:
    found = Directories(directories)
    assert found.hold(path) == any(is_below(path, one) for one in directories)
    assert found.lead_through(path) == any(one and is_below(f"{one}/", path) for one in directories if path)
    assert sorted(found.outermost) == sorted(
        one for one in directories if one and not any(other and is_below(one, other) for other in directories)
    )
