import pytest
from local_help import Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)
