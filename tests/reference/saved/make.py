"""Write the files of this folder and what their fits answered: run with version 0.1.0 as of its flat layout."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mixedfit as mf

warnings.simplefilter("ignore")

out = Path(".")
s = mf.load_dataset("sleepstudy")


def facts(f, new=None):
    d = {
        "formula": f.formula,
        "params": f.params.to_dict(),
        "sigma": f.sigma,
        "theta": list(map(float, f.theta)),
        "aic": f.aic,
        "summary": str(f.summary()),
        "status": f.convergence.status,
    }
    if new is not None:
        d["predict"] = [float(x) for x in f.predict(new)]
        d["new"] = new
    return d


got = {}
f = mf.lmm("Reaction ~ Days + (Days | Subject)", s).fit()
f.save(out / "reml.npz")
got["reml"] = facts(f, {"Days": [1.0, 12.0], "Subject": ["308", "309"]})
c = mf.load_dataset("cake")
c["w"] = 1 + (np.arange(len(c)) % 3)
f = mf.lmm("angle ~ recipe * poly(temp, 2) + (1 | replicate) + (1 | recipe:replicate)", c, weights="w").fit(
    reml=False
)
f.save(out / "ml_nested_weights.npz")
got["ml_nested_weights"] = facts(f, {"temp": [180.0, 200.0], "recipe": ["A", "C"], "replicate": ["1", "2"]})
m = pd.DataFrame(
    {
        "y": [0.3, 0.5, -0.1, 0.2, 0.9, 0.4, 0.1, 0.6],
        "v": [0.1, 0.2, 0.15, 0.1, 0.3, 0.2, 0.1, 0.12],
        "study": list("abcdefgh"),
    }
)
m["w"] = 1 / m["v"]
f = mf.lmm("y ~ 1 + (1 | study)", m, weights="w").fit(sigma=1)
f.save(out / "held_sigma.npz")
got["held_sigma"] = facts(f)
o = mf.load_dataset("Oats") if "Oats" in mf.dataset_names() else None
p = mf.load_dataset("Penicillin")
f = mf.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", p).fit()
f.save(out / "crossed.npz")
got["crossed"] = facts(f)
rng = np.random.default_rng(3)
n = 900
g = rng.integers(0, 300, n)
h = rng.integers(0, 20, n)
d = pd.DataFrame(
    {
        "y": rng.normal(size=n) + 0.1 * g % 7,
        "x": rng.normal(size=n),
        "g": g.astype(str),
        "h": h.astype(str),
        "z": rng.normal(size=n),
    }
)
f = mf.lmm("y ~ x + g + offset(0.5 * z) + (1 | h)", d).fit()
f.save(out / "many_levels_offset.npz")
got["many_levels_offset"] = {
    "params": {k: f.params[k] for k in ("(Intercept)", "x", "g10")},
    "sigma": f.sigma,
    "aic": f.aic,
}
q = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight")).gibbs(
    seed=1, chains=2, draws=50
)
q.save(out / "posterior.npz")
got["posterior"] = {
    "names": list(q.names),
    "mean": {n: float(q[n].mean()) for n in q.names},
    "priors": list(q.priors),
}
(out / "answers.json").write_text(json.dumps(got, indent=1))
