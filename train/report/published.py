"""Figures that papers published, in the layout of their tables.

TTMR: "Toward Universal Text-to-Music Retrieval" (Doh et al. 2023), Tables 2 and 4, on ECALS and the datasets named
there; its median ranks count from 0. VCMR: "On the Role of Visual Context in Enriching Music Representations"
(Avramidis et al. 2023), Table 1. Areas are in percent.
"""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[float, float]


@dataclass(frozen=True)
class Retrieval:
    """A row of TTMR's Table 2.

    Attributes:
        top_50, all_1054: ROC-AUC and PR-AUC.
        recall: at 1, 5 and 10.
        median_rank: from 0.
    """

    model: str
    text_encoder: str
    text: str
    top_50: Pair
    all_1054: Pair
    recall: tuple[float, float, float]
    map_at_10: float
    median_rank: float


TTMR_TABLE_2 = (
    Retrieval("Classification", "Binary", "Tag", (90.2, 39.5), (86.4, 8.8), (4.0, 13.8, 20.1), 8.3, 86),
    Retrieval("Triplet", "GloVe", "Tag", (89.2, 36.0), (82.6, 6.1), (2.8, 11.2, 18.6), 6.6, 51.5),
    Retrieval("Triplet", "GloVe", "Sentence", (88.6, 37.1), (76.8, 5.3), (5.4, 22.1, 35.0), 13.0, 17),
    Retrieval("Triplet", "GloVe", "Stochastic", (89.2, 37.6), (81.6, 6.2), (6.4, 21.8, 32.7), 12.8, 19.5),
    Retrieval("Triplet", "BERT base", "Tag", (86.9, 30.2), (81.7, 5.1), (1.6, 6.2, 12.0), 3.9, 68),
    Retrieval("Triplet", "BERT base", "Sentence", (87.7, 35.0), (78.8, 5.4), (6.7, 23.6, 36.6), 14.1, 16),
    Retrieval("Triplet", "BERT base", "Stochastic", (88.4, 35.0), (83.6, 6.3), (6.6, 25.1, 39.4), 14.6, 16),
    Retrieval("Contrastive", "BERT base", "Tag", (90.6, 40.2), (86.4, 8.8), (2.5, 13.7, 22.5), 7.4, 47),
    Retrieval("Contrastive", "BERT base", "Sentence", (87.0, 32.5), (77.6, 5.1), (6.8, 25.4, 38.4), 15.3, 17),
    Retrieval("Contrastive", "BERT base", "Stochastic", (89.8, 38.0), (84.8, 7.7), (10.2, 29.8, 42.8), 18.7, 13),
)


@dataclass(frozen=True)
class Task:
    """A column of TTMR's Table 4.

    Attributes:
        name: its heading.
        datasets: names of the manifests that hold it.
        metric: ROC/PR, ACC or F1.
        zero_shot, probing: of the contrastive model with stochastic text: areas in percent, or a share of tracks.
    """

    name: str
    datasets: tuple[str, ...]
    metric: str
    zero_shot: tuple[float, ...]
    probing: tuple[float, ...]


TTMR_TABLE_4 = (
    Task("MTAT", ("magnatagatune",), "ROC/PR", (78.41, 21.23), (91.11, 38.37)),
    Task("MTG-Top50s", ("mtg_jamendo",), "ROC/PR", (76.14, 23.60), (82.87, 29.74)),
    Task("MTG-G", ("mtg_jamendo_genre",), "ROC/PR", (81.19, 15.57), (87.50, 19.57)),
    Task("GZ", ("gtzan",), "ACC", (87.93,), (88.97,)),
    Task("FMA", ("fma",), "ACC", (45.12,), (60.00,)),
    Task("MTG-MT", ("mtg_jamendo_moodtheme",), "ROC/PR", (65.66, 8.09), (76.25, 13.95)),
    Task("Emot", ("emotify",), "ACC", (33.75,), (48.75,)),
    Task("MTG-I", ("mtg_jamendo_instrument",), "ROC/PR", (60.64, 11.26), (76.65, 18.98)),
)


@dataclass(frozen=True)
class Transfer:
    """A row of VCMR's Table 1; `supervised` rows were trained on the dataset itself."""

    model: str
    dataset: str
    datasets: tuple[str, ...]
    areas: Pair
    supervised: bool = False


_MTAT, _MOODS = ("magnatagatune",), ("mtg_jamendo_moodtheme",)
VCMR_TABLE_1 = (
    Transfer("Audio-Only", "MTAT", _MTAT, (77.4, 22.6)),
    Transfer("VCMR", "MTAT", _MTAT, (89.1, 35.3)),
    Transfer("CLMR", "MTAT", _MTAT, (87.8, 33.1)),
    Transfer("SampleCNN", "MTAT", _MTAT, (90.6, 44.2), supervised=True),
    Transfer("HarmonicCNN", "MTAT", _MTAT, (91.3, 46.1), supervised=True),
    Transfer("Audio-Only", "MTG-M", _MOODS, (57.8, 5.3)),
    Transfer("VCMR", "MTG-M", _MOODS, (70.7, 10.1)),
    Transfer("MediaEval 2020", "MTG-M", _MOODS, (76.6, 15.0), supervised=True),
)
