from __future__ import annotations

import pytest

pytest.register_assert_rewrite("klassd.workflows.testing.store_checks")
