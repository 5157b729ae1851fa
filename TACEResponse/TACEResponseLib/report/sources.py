"""The papers that the text of the methods may cite, and their list as BibTeX: names, the same everywhere."""

import re
from typing import NamedTuple


class Source(NamedTuple):
    """An article of a journal; authors as BibTeX parts them."""

    authors: str
    title: str
    journal: str
    year: int
    volume: str
    pages: str
    doi: str = ""


#: Key -> the paper.
SOURCES = {
    "bandos2005": Source(
        "Bandos, Andriy I. and Rockette, Howard E. and Gur, David",
        "A permutation test sensitive to differences in areas for comparing ROC curves from a paired design",
        "Statistics in Medicine", 2005, "24(18)", "2873--2893", "10.1002/sim.2149",
    ),
    "bates2024": Source(
        "Bates, Stephen and Hastie, Trevor and Tibshirani, Robert",
        "Cross-Validation: What Does It Estimate and How Well Does It Do It?",
        "Journal of the American Statistical Association", 2024, "119(546)", "1434--1445",
        "10.1080/01621459.2023.2197686",
    ),
    "breiman2001": Source(
        "Breiman, Leo", "Random Forests", "Machine Learning", 2001, "45", "5--32", "10.1023/A:1010933404324",
    ),
    "brier1950": Source(
        "Brier, Glenn W.", "Verification of forecasts expressed in terms of probability",
        "Monthly Weather Review", 1950, "78(1)", "1--3",
    ),
    "collins2024": Source(
        "Collins, Gary S. and Moons, Karel G. M. and Dhiman, Paula and others",
        "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression "
        "or machine learning methods",
        "BMJ", 2024, "385", "e078378", "10.1136/bmj-2023-078378",
    ),
    "cortes1995": Source(
        "Cortes, Corinna and Vapnik, Vladimir", "Support-vector networks",
        "Machine Learning", 1995, "20", "273--297", "10.1007/BF00994018",
    ),
    "delong1988": Source(
        "DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.",
        "Comparing the areas under two or more correlated receiver operating characteristic curves: a "
        "nonparametric approach",
        "Biometrics", 1988, "44(3)", "837--845", "10.2307/2531595",
    ),
    "fortin2018": Source(
        "Fortin, Jean-Philippe and Cullen, Nicholas and Sheline, Yvette I. and others",
        "Harmonization of cortical thickness measurements across scanners and sites",
        "NeuroImage", 2018, "167", "104--120", "10.1016/j.neuroimage.2017.11.024",
    ),
    "friedman2001": Source(
        "Friedman, Jerome H.", "Greedy function approximation: A gradient boosting machine",
        "The Annals of Statistics", 2001, "29(5)", "1189--1232", "10.1214/aos/1013203451",
    ),
    "geurts2006": Source(
        "Geurts, Pierre and Ernst, Damien and Wehenkel, Louis", "Extremely randomized trees",
        "Machine Learning", 2006, "63", "3--42", "10.1007/s10994-006-6226-1",
    ),
    "guyon2002": Source(
        "Guyon, Isabelle and Weston, Jason and Barnhill, Stephen and Vapnik, Vladimir",
        "Gene Selection for Cancer Classification using Support Vector Machines",
        "Machine Learning", 2002, "46", "389--422", "10.1023/A:1012487302797",
    ),
    "hartung2001": Source(
        "Hartung, Joachim and Knapp, Guido",
        "A refined method for the meta-analysis of controlled clinical trials with binary outcome",
        "Statistics in Medicine", 2001, "20(24)", "3875--3889", "10.1002/sim.1009",
    ),
    "holm1979": Source(
        "Holm, Sture", "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics", 1979, "6(2)", "65--70",
    ),
    "johnson2007": Source(
        "Johnson, W. Evan and Li, Cheng and Rabinovic, Ariel",
        "Adjusting batch effects in microarray expression data using empirical Bayes methods",
        "Biostatistics", 2007, "8(1)", "118--127", "10.1093/biostatistics/kxj037",
    ),
    "kuhn2008": Source(
        "Kuhn, Max", "Building Predictive Models in R Using the caret Package",
        "Journal of Statistical Software", 2008, "28(5)", "1--26", "10.18637/jss.v028.i05",
    ),
    "lencioni2010": Source(
        "Lencioni, Riccardo and Llovet, Josep M.",
        "Modified RECIST (mRECIST) Assessment for Hepatocellular Carcinoma",
        "Seminars in Liver Disease", 2010, "30(1)", "52--60", "10.1055/s-0030-1247132",
    ),
    "mcgraw1996": Source(
        "McGraw, Kenneth O. and Wong, S. P.",
        "Forming inferences about some intraclass correlation coefficients",
        "Psychological Methods", 1996, "1(1)", "30--46", "10.1037/1082-989X.1.1.30",
    ),
    "newcombe2006": Source(
        "Newcombe, Robert G.",
        "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2: "
        "asymptotic methods and evaluation",
        "Statistics in Medicine", 2006, "25(4)", "559--573", "10.1002/sim.2324",
    ),
    "peng2021": Source(
        "Peng, Jie and Huang, Jinhua and Huang, Guijia and Zhang, Jing",
        "Predicting the Initial Treatment Response to Transarterial Chemoembolization in "
        "Intermediate-Stage Hepatocellular Carcinoma by the Integration of Radiomics and Deep Learning",
        "Frontiers in Oncology", 2021, "11", "730282", "10.3389/fonc.2021.730282",
    ),
    "riley2019": Source(
        "Riley, Richard D. and Snell, Kym I. E. and Ensor, Joie and others",
        "Minimum sample size for developing a multivariable prediction model: PART II - binary and "
        "time-to-event outcomes",
        "Statistics in Medicine", 2019, "38(7)", "1276--1296", "10.1002/sim.7992",
    ),
    "riley2021": Source(
        "Riley, Richard D. and Debray, Thomas P. A. and Collins, Gary S. and others",
        "Minimum sample size for external validation of a clinical prediction model with a binary outcome",
        "Statistics in Medicine", 2021, "40(19)", "4230--4251", "10.1002/sim.9025",
    ),
    "riley2023": Source(
        "Riley, Richard D. and Collins, Gary S.",
        "Stability of clinical prediction models developed using statistical or machine learning methods",
        "Biometrical Journal", 2023, "65(8)", "2200302", "10.1002/bimj.202200302",
    ),
    "vangriethuysen2017": Source(
        "van Griethuysen, Joost J. M. and Fedorov, Andriy and Parmar, Chintan and others",
        "Computational Radiomics System to Decode the Radiographic Phenotype",
        "Cancer Research", 2017, "77(21)", "e104--e107", "10.1158/0008-5472.CAN-17-0339",
    ),
    "vickers2006": Source(
        "Vickers, Andrew J. and Elkin, Elena B.",
        "Decision curve analysis: a novel method for evaluating prediction models",
        "Medical Decision Making", 2006, "26(6)", "565--574", "10.1177/0272989X06295361",
    ),
    "wilson1927": Source(
        "Wilson, Edwin B.", "Probable Inference, the Law of Succession, and Statistical Inference",
        "Journal of the American Statistical Association", 1927, "22(158)", "209--212",
        "10.1080/01621459.1927.10502953",
    ),
    "youden1950": Source(
        "Youden, W. J.", "Index for rating diagnostic tests", "Cancer", 1950, "3(1)", "32--35",
    ),
}  # fmt: skip


def cited(text: str) -> list[str]:
    """The keys that a Markdown text cites as `[@key]` or `[@key; @other]`, sorted, each once."""
    return sorted(set(re.findall(r"(?<=[\[ ])@(\w+)", text)))


def bibliography(text: str) -> str:
    """BibTeX of the papers that a Markdown text cites."""
    return "\n".join(_entry(key, SOURCES[key]) for key in cited(text))


def _entry(key: str, source: Source) -> str:
    volume, _, number = source.volume.rstrip(")").partition("(")
    fields = {
        "author": source.authors,
        "title": f"{{{source.title}}}",  # a second pair of braces keeps capitals
        "journal": source.journal,
        "year": source.year,
        "volume": volume,
        "number": number,
        "pages": source.pages,
        "doi": source.doi,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@article{{{key},", *lines, "}", ""])
