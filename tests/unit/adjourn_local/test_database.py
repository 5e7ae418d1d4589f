"""The state file, where it cannot be one."""

import pytest

from adjourn_local.database import connect, keep_aside_if_damaged
from adjourn_local.errors import StackError


@pytest.mark.parametrize("use", [connect, keep_aside_if_damaged])
def test_a_file_that_cannot_be_opened_is_said(tmp_path, use):
    with pytest.raises(StackError) as caught:
        use(tmp_path)

    assert str(caught.value) == (
        f"The state file {tmp_path} cannot be used: unable to open database file."
    )
