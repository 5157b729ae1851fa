"""The isotonic calibration of bundles of format 2, which is applied and no longer fitted.

It may flatten the order of patients, and with few of them turn a model into a constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import tr


@dataclass(frozen=True)
class Isotonic:
    """A rising curve through (m,) points: probability as fitted -> probability as observed."""

    fitted: tuple[float, ...]
    observed: tuple[float, ...]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) -> (n,), flat beyond the first and the last point."""
        return np.interp(probabilities, self.fitted, self.observed)

    def to_json(self) -> dict:
        """Lists of numbers."""
        return {"fitted": list(self.fitted), "observed": list(self.observed)}

    @classmethod
    def from_json(cls, content: Mapping) -> "Isotonic":
        """What `to_json` wrote; BundleError when it is no rising curve."""
        try:
            curve = cls(*(tuple(float(v) for v in content[name]) for name in ("fitted", "observed")))
            rising = all((np.diff(values) >= 0).all() for values in (curve.fitted, curve.observed))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                tr("a calibration cannot be read"), file="fusion.json", received=repr(error)
            ) from None
        if not rising or not curve.fitted or len(curve.fitted) != len(curve.observed):
            raise BundleError(tr("a calibration is no rising curve"), file="fusion.json")
        return curve
