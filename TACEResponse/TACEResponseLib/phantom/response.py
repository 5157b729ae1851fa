"""The known answer of the phantom: traits of a patient, the response they make likely, the best AUC.

Three traits act on response with known weights: the size, the heterogeneity and the necrosis of
the tumours. They go together, as in patients: a tumour that outgrows its supply is large, mottled
and necrotic at once. Everything here is drawn before, and without, the picture that shows them.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

#: What acts on response, per standard deviation: large, mottled and necrotic tumours respond less.
WEIGHTS = {"size": -0.55, "heterogeneity": -0.60, "necrosis": -0.58}
#: Share of a trait's variance that it has in common with the other two (their correlation).
SHARED = 0.6
#: Slope of the log-odds of response over the latent score; gives a best AUC of about 0.87.
STRENGTH = 1.8
#: Share of responders in the population; the paper's cohorts have 83/139 and 104/171.
RESPONDERS = 0.6
#: The parts of a trait are standard normal and cut here, so that a picture can show every trait.
PART_LIMIT = 1.5
#: Longest axial diameter in mm of the main tumour at the median, and its spread on a log scale.
MEDIAN_DIAMETER_MM = 58.0
LOG_DIAMETER_SD = 0.30
#: Diameters that fit in a liver of this population.
DIAMETERS_MM = (10.0, 110.0)

#: Streams of random numbers of one patient: each part draws from its own.
_STREAMS = ("response", "scan", "body", "organs", "lesions", "noise", "clinical")


@dataclass(frozen=True)
class Response:
    """What was drawn before the picture: traits (around 0), score, probability, outcome.

    latent: weighted sum of the traits, the best predictor of response there is. probability: of
    response given the traits. response: mRECIST category; CR and PR are responders.
    """

    size: float
    heterogeneity: float
    necrosis: float
    latent: float
    probability: float
    responder: bool
    response: Literal["CR", "PR", "SD", "PD"]

    @property
    def diameter_mm(self) -> float:
        """Longest axial diameter of the main lesion."""
        return float(MEDIAN_DIAMETER_MM * np.exp(LOG_DIAMETER_SD * self.size))

    @property
    def mottling_hu(self) -> float:
        """Standard deviation in HU of the viable tumour, noise apart."""
        return float(14 * np.exp(0.65 * self.heterogeneity))

    @property
    def necrotic_share(self) -> float:
        """Necrotic share of every lesion's volume, 0.03 to 0.51."""
        return float(0.02 + 0.5 * special.ndtr(self.necrosis))


def draw_response(
    index: int, seed: int, strength: float = STRENGTH, diameter_mm: float | None = None
) -> Response:
    """The traits and the outcome of a patient, without the picture."""
    low, high = DIAMETERS_MM
    if diameter_mm is not None and not low <= diameter_mm <= high:
        raise InputError(
            tr("no such tumour fits in the phantom"),
            field="diameter_mm",
            expected=tr("{low:g} to {high:g} mm", low=low, high=high),
            received=f"{diameter_mm:g}",
        )
    rng = random_streams(seed, index)["response"]
    limit = special.ndtr(PART_LIMIT)
    common, *own = special.ndtri(rng.uniform(1 - limit, limit, 1 + len(WEIGHTS)))
    traits = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * np.array(own)
    if diameter_mm is not None:
        traits[0] = np.log(diameter_mm / MEDIAN_DIAMETER_MM) / LOG_DIAMETER_SD
    latent = float(traits @ list(WEIGHTS.values()))
    probability = float(special.expit(_intercept(strength) + strength * latent))
    responder = bool(rng.random() < probability)
    complete, progressed = rng.random() < 0.25, rng.random() < 0.35
    response = ("CR" if complete else "PR") if responder else ("PD" if progressed else "SD")
    return Response(*map(float, traits), latent, probability, responder, response)


def best_auc(strength: float = STRENGTH) -> float:
    """AUC of the latent score itself in the population, by numerical integration; 0.5 at strength 0.

    With f the density of the score and p the probability of response at it, responders have
    density f p and the others f (1 - p), up to a factor; AUC is the integral of the first times
    the distribution function of the second.
    """
    score, density = _latent_density()
    probability = special.expit(_intercept(strength) + strength * score)
    responders, others = density * probability, density * (1 - probability)
    below = np.cumsum(others) - 0.5 * others
    return float(np.sum(responders * below) / (responders.sum() * others.sum()))


def auc_interval(auc: float, responders: int, others: int, level: float = 0.95) -> tuple[float, float]:
    """Where an observed AUC falls by chance when the true one is `auc` (Hanley & McNeil 1982)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (responders - 1) * (q1 - auc**2) + (others - 1) * (q2 - auc**2)
    half = special.ndtri(0.5 + level / 2) * np.sqrt(variance / (responders * others))
    return max(0.0, float(auc - half)), min(1.0, float(auc + half))


@functools.cache
def _latent_density() -> tuple[np.ndarray, np.ndarray]:
    """Grid of latent scores and their density: the common part and three own ones, convolved."""
    step = 1e-3
    weights = np.array(list(WEIGHTS.values()))
    density = np.ones(1)
    for weight in (np.sqrt(SHARED) * weights.sum(), *(np.sqrt(1 - SHARED) * weights)):
        n = round(abs(weight) * PART_LIMIT / step)
        part = np.arange(-n, n + 1) * step / abs(weight)
        density = np.convolve(density, np.exp(-0.5 * part**2))
    score = (np.arange(density.size) - density.size // 2) * step
    return score, density / density.sum()


@functools.cache
def _intercept(strength: float) -> float:
    """Log-odds at score 0 that give RESPONDERS in the population."""
    score, density = _latent_density()
    share = lambda b: np.sum(density * special.expit(b + strength * score)) - RESPONDERS
    return float(optimize.brentq(share, -20, 20))


def draw_clinical(rng: np.random.Generator, truth: Response) -> dict[str, object]:
    """Clinical values; only AFP is related to response, weakly, through the tumour's size."""
    albumin_g_l = round(float(np.clip(rng.normal(37.5, 4.6), 24, 50)), 1)
    bilirubin_umol_l = round(float(np.clip(16 * np.exp(rng.normal(0, 0.52)), 4, 90)), 1)
    inr = round(float(np.clip(rng.normal(1.12, 0.1), 0.9, 2.0)), 2)
    ascites = "mild" if rng.random() < 0.14 else "none"
    points = (
        5
        + (bilirubin_umol_l >= 34)
        + (bilirubin_umol_l > 51)
        + (albumin_g_l <= 35)
        + (albumin_g_l < 28)
        + (inr >= 1.7)
        + (ascites == "mild")
    )
    return {
        "age_years": int(np.clip(rng.normal(56, 11), 22, 84)),
        "sex": "M" if rng.random() < 0.88 else "F",
        "hbv": int(rng.random() < 0.8),
        "afp_ng_ml": round(float(np.exp(rng.normal(4.0 + 0.3 * truth.size, 2.2)).clip(1, 60_000)), 1),
        "albumin_g_l": albumin_g_l,
        "bilirubin_umol_l": bilirubin_umol_l,
        "inr": inr,
        "crp_mg_dl": round(float(np.exp(rng.normal(-0.9, 0.9)).clip(0.02, 15)), 2),
        "ascites": ascites,
        "encephalopathy": "none",
        "child_pugh": f"{'A' if points <= 6 else 'B' if points <= 9 else 'C'}{points}",
        "macrovascular_invasion": "no",
        "extrahepatic_spread": "no",
    }


def random_streams(seed: int, index: int) -> dict[str, np.random.Generator]:
    """Independent generators of a patient's parts."""
    for name, value in (("seed", seed), ("index", index)):
        if not (isinstance(value, int | np.integer) and 0 <= value < 2**31):
            raise InputError(
                tr("{name} is not usable", name=name),
                field=name,
                expected=tr("0 to 2147483647"),
                received=repr(value),
            )
    children = np.random.SeedSequence(entropy=int(seed), spawn_key=(int(index),)).spawn(len(_STREAMS))
    return {name: np.random.default_rng(child) for name, child in zip(_STREAMS, children, strict=True)}
