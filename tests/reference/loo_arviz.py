"""ArviZ's PSIS-LOO of the matrix of loo.R: ``python loo_arviz.py > loo_arviz.json`` (arviz-base, arviz-stats)."""

import json

import arviz_base
import arviz_stats
import numpy as np
from scipy.special import ndtri

DRAWS = 2500
u = (np.arange(1, DRAWS + 1)[:, None] * 0.6180339887498949 + 0.1 * np.arange(8) + 0.01) % 1
logs = np.hstack(
    [
        np.log(u[:, :6]) * np.array([0.05, 0.3, 0.5, 0.7, 0.9, 1.2]) - 1,
        -0.5 * (1.2 * ndtri(u[:, 6:]) + np.array([0.0, 1.0])) ** 2,
    ]
)
tree = arviz_base.from_dict(
    {"log_likelihood": {"y": logs.reshape(4, 625, 8)}, "posterior": {"x": u[:, 0].reshape(4, 625)}}
)
found = arviz_stats.loo(tree, reff=1.0, pointwise=True)
out = {
    "arviz_base": arviz_base.__version__,
    "arviz_stats": arviz_stats.__version__,
    "elpd": found.elpd_i.values.tolist(),
    "khat": found.pareto_k.values.tolist(),
    "p": float(found.p),
}
print(json.dumps(out, indent=1))
