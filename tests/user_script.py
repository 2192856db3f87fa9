"""What a user writes: `mypy --strict` must see its types, and it must run with the installed wheel alone."""

import mixedfit as mf

data = mf.load_dataset("sleepstudy")
fit: mf.MixedResults = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
slope: float = float(fit.params["Days"])
sigma: float = fit.sigma
limits = fit.conf_int().loc["Days", ["lower", "upper"]].to_numpy()
test = fit.t_test("Days = 10", ddf="kenward-roger")
print(round(slope, 3), round(sigma, 3), limits.round(2), round(float(test.table["df"].iloc[0]), 1))
