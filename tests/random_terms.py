"""What `reference/random_terms.R` fitted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER

import mixedfit as mf

REFERENCE = json.loads((REFERENCE_FOLDER / "random_terms.json").read_text(encoding="utf-8"))


def rows() -> pd.DataFrame:
    """Return the script's data."""
    return pd.DataFrame(REFERENCE["data"])


def assert_lme4s(fit: mf.MixedResults, record: dict[str, Any]) -> None:
    """Compare criterion, fixed effects and their errors, σ and all SDs with those of lme4."""
    assert fit.reml_criterion == pytest.approx(record["criterion"], abs=2e-5)
    assert fit.params.to_numpy() == pytest.approx(np.array(record["beta"]), abs=2e-4)
    assert fit.bse.to_numpy() == pytest.approx(np.array(record["se"]), abs=2e-4)
    sds = fit.varcorr.loc[fit.varcorr["var2"].isna() if "var2" in fit.varcorr else slice(None), "sdcor"]
    assert np.sort(sds) == pytest.approx(np.array(record["sds"]), abs=2e-3)
