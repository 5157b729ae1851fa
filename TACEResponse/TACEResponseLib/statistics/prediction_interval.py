"""In which range the next hospital's true figure is expected, from those of a few.

The usual interval (Higgins et al., J R Stat Soc A 2009;172:137) takes the variance between hospitals
as known and holds too rarely. Nagashima, Noma & Furukawa (Stat Methods Med Res 2019;28:1689) carry
its uncertainty along in a confidence distribution; they draw from it at random, here it is
integrated, so that the answer is the same every time.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm, t

#: Points of the confidence distribution and of Student's t; variances at which it is computed.
POINTS, GRID = 100, 300
#: Halvings after which a saddle point is exact enough for six digits of a chance.
HALVINGS = 40


def next_hospital(y: np.ndarray, v: np.ndarray, level: float) -> tuple[float, float]:
    """Interval of the true figure of another hospital, from k estimates y with variances v, k >= 3."""
    k = len(y)
    tau2 = _quantiles_of_tau2(y, v)[:, None]
    weights = 1 / (v + tau2)
    total = weights.sum(axis=1, keepdims=True)
    mean = (weights * y).sum(axis=1, keepdims=True) / total
    squares = (weights * (y - mean) ** 2).sum(axis=1, keepdims=True)
    error = np.sqrt(squares / ((k - 1) * total))
    # True figure = mean + error * t + tau * z; the last part is normal and needs no points.
    centres = mean + error * t.ppf((np.arange(POINTS) + 0.5) / POINTS, k - 1)
    spread = np.maximum(np.sqrt(tau2), 1e-6 * np.sqrt(v.min()))
    ends = (centres - 9 * spread).min(), (centres + 9 * spread).max()
    below = lambda figure, share: ndtr((figure - centres) / spread).mean() - share
    low, high = (
        brentq(below, *ends, args=(share,), rtol=1e-9) for share in (0.5 - level / 2, 0.5 + level / 2)
    )
    return float(low), float(high)


def _quantiles_of_tau2(y: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Equally likely variances between hospitals (POINTS,), 0 with the weight that 0 has.

    Their distribution is the chance of a Cochran's Q above the one observed, as a function of the
    variance between hospitals.
    """
    w = 1 / v
    quadratic = np.diag(w) - np.outer(w, w) / w.sum()
    q = float(y @ quadratic @ y)
    tau2 = np.r_[0.0, (v.max() + np.var(y)) * np.logspace(-6, 7, GRID)]
    sds = np.sqrt(v + tau2[:, None])
    # The smallest eigenvalue is 0: adding the same to every estimate does not change Q.
    eigenvalues = np.linalg.eigvalsh(quadratic * sds[:, :, None] * sds[:, None, :])[:, 1:]
    confidence = np.maximum.accumulate(chance_above(q, eigenvalues))
    return np.interp((np.arange(POINTS) + 0.5) / POINTS, confidence, tau2, left=0.0)


def chance_above(q: float, eigenvalues: np.ndarray) -> np.ndarray:
    """Chance (r,) that the sum over eigenvalues (r, m) times squared standard normals is above q.

    By saddle point (Kuonen, Biometrika 1999;86:929), within about 0.01 of the exact value.
    """
    m, largest = eigenvalues.shape[1], eigenvalues.max(axis=1)
    if q <= 1e-12 * eigenvalues.sum(axis=1).min():
        return np.ones(len(eigenvalues))
    low, high = np.full(len(eigenvalues), -m / (2 * q)), (1 - largest / q) / (2 * largest)
    for _ in range(HALVINGS):
        zeta = (low + high) / 2
        above = (eigenvalues / (1 - 2 * zeta[:, None] * eigenvalues)).sum(axis=1) > q
        low, high = np.where(above, low, zeta), np.where(above, zeta, high)
    # Beside the mean the formula divides 0 by 0; a step off it changes nothing that can be seen.
    scale = 1e-4 / np.sqrt((eigenvalues**2).sum(axis=1))
    zeta = np.where(np.abs(zeta) < scale, np.copysign(scale, zeta), zeta)
    rest = 1 - 2 * zeta[:, None] * eigenvalues
    at = (eigenvalues / rest).sum(axis=1)
    w = np.copysign(np.sqrt(np.maximum(2 * zeta * at + np.log(rest).sum(axis=1), 1e-16)), zeta)
    u = zeta * np.sqrt(2 * ((eigenvalues / rest) ** 2).sum(axis=1))
    return norm.sf(w + np.log(u / w) / w)
