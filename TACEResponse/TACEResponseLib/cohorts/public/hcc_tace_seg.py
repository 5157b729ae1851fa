"""HCC-TACE-Seg, the public collection of liver cancer before TACE: its clinical table and its labels.

Moawad et al., Sci Data 2023;10:33 (DOI 10.7937/TCIA.5FNA-0924, CC BY 4.0). 105 patients; three
readers measured before and after treatment. Codes of the mRECIST columns: 1 CR, 2 PR, 3 SD, 4 PD.
The EASL columns use other codes and give no label. `chemotherapy` holds the text NA.
"""

from collections.abc import Mapping
from pathlib import Path

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row, read_table

COLLECTION, DOI = "hcc_tace_seg", "10.7937/TCIA.5FNA-0924"
ID_COLUMN, RESPONSE_CODES = "TCIA_ID", {"1": "CR", "2": "PR", "3": "SD", "4": "PD"}
READERS = ("1", "2", "3")
#: What counts as response: a reader's mRECIST, that of most readers, or time to progression.
LABELS = ("reader1", "reader2", "reader3", "majority", "ttp14")
#: Patients without progression for longer than this count as responders under `ttp14`.
TTP_WEEKS = 14
#: The table's columns under names that say what they hold and in which unit.
CLINICAL_COLUMNS = {
    "Interval_BL": "diagnosis_to_baseline_days",
    "Interval_FU": "baseline_to_follow_up_weeks",
    "TTP": "time_to_progression_weeks",
    "Death_1_StillAliveorLostToFU_0": "died",
    "Censored_0_progressed_1": "progressed",
    "OS": "overall_survival_weeks",
    "hepatitis": "hepatitis",
    "age": "age_years",
    "agegp": "age_group",
    "Sex": "sex",
    "Smoking": "smoking",
    "Alcohol": "alcohol",
    "fhx_can": "family_history_cancer",
    "fhx_livc": "family_history_liver_cancer",
    "Diabetes": "diabetes",
    "Personal history of cancer": "history_cancer",  # not a text
    "Evidence_of_cirh": "cirrhosis",
    "Pathology": "pathology",
    "PS_bclc_0_0_1-2_1_3-4_3": "performance_status_bclc",
    "CPS": "child_pugh",
    "Tr_Size": "tumour_size_cm",
    "tumor_nodul": "nodularity",
    "Vascular invasion": "macrovascular_invasion",  # not a text
    "Metastasis": "extrahepatic_spread",
    "Lymphnodes": "lymph_nodes",
    "Portal Vein Thrombosis": "portal_vein_thrombosis",  # not a text
    "T_involvment": "liver_involvement",
    "AFP": "afp_ng_ml",
    "AFP_group": "afp_group",
    "CLIP_Score": "clip_score",
    "CLIP": "clip_group",
    "Okuda": "okuda",
    "TNM": "tnm",
    "BCLC": "bclc",
    "chemotherapy": "chemotherapy",
    "1_EASL_BL": "easl_baseline_reader1_mm2",
    "1_EASL_FU": "easl_follow_up_reader1_mm2",
    "1_EASL": "easl_code_reader1",
    **{
        f"{reader}_{criterion}{old}": f"{criterion.lower()}_{new.format(reader)}"
        for criterion in ("RECIST", "mRECIST")
        for reader in READERS
        for old, new in (
            ("_BL", "baseline_reader{}_mm"),
            ("_FU", "follow_up_reader{}_mm"),
            ("", "code_reader{}"),
        )
    },
}
#: Columns of yes and no, which the collection writes 1 and 0.
YES_NO = ("macrovascular_invasion", "extrahepatic_spread")


def read_clinical(path: Path) -> dict[str, Row]:
    """Patient -> row of the collection's clinical table, as released (.xlsx) or as CSV."""
    columns = (ID_COLUMN, "TTP", *(f"{reader}_mRECIST" for reader in READERS))
    return {row[ID_COLUMN]: row for row in read_table(path, columns, id_column=ID_COLUMN)}


def find_clinical(folder: Path) -> Path:
    """The collection's clinical table somewhere below `folder`; InputError when there is none."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".xlsx", ".csv")):
        try:
            read_clinical(path)
        except InputError:
            continue  # another table
        return path
    raise InputError(
        tr("the collection's clinical table is not here"),
        field="clinical",
        file=folder.name,
        expected=tr("a table with the column {column}", column=ID_COLUMN),
        received=tr("none in the folder"),
        remedy=tr("get the table (.xlsx) from https://doi.org/{doi} and name it with --clinical", doi=DOI),
    )


def response_of(row: Mapping[str, str], by: str) -> tuple[int | None, str]:
    """The label (1 responder, 0 not, None unknown) and, by one reader, the mRECIST category.

    by: one of `LABELS`. `majority` needs all three readings.
    """
    if by == "ttp14":
        weeks = row["TTP"]
        return (None, "") if not weeks else (int(float(weeks) > TTP_WEEKS), "")
    responses = [RESPONSE_CODES.get(row[f"{reader}_mRECIST"], "") for reader in READERS]
    if by == "majority":
        votes = sum(response in ("CR", "PR") for response in responses)
        return (None, "") if "" in responses else (int(votes >= 2), "")
    response = responses[LABELS.index(by)]
    return (None, "") if not response else (int(response in ("CR", "PR")), response)


def clinical_values(row: Mapping[str, str]) -> dict[str, str]:
    """The row's clinical columns under their new names; codes that the scores read become words."""
    values = {new: row.get(old, "") for old, new in CLINICAL_COLUMNS.items()}
    values |= {name: {"1": "yes", "0": "no"}.get(values[name], values[name]) for name in YES_NO}
    values["sex"] = {"1": "male", "2": "female"}.get(values["sex"], values["sex"])
    return values
