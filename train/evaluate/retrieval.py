"""Sentence-to-music retrieval: where the right track stands in the ranking of each query."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from train.evaluate.bootstrap import ranking_intervals

Matrix = npt.NDArray[np.floating[Any]]
Relevance = npt.NDArray[np.bool_]
CUTOFFS = (1, 5, 10)


def ranked_relevance(scores: Matrix, relevant: Relevance) -> Relevance:
    """`relevant` in the order of falling score, (queries, candidates).

    Ties are broken against the model: what is not relevant comes first, so scores that are all equal earn the
    worst ranks and no credit.
    """
    order = np.lexsort((relevant, -scores), axis=1)
    return np.take_along_axis(relevant, order, axis=1)


def retrieval_metrics(scores: Matrix, relevant: Relevance) -> dict[str, float | int]:
    """Recall, mAP and median rank of rankings, and what a random ranking is expected to recall.

    Args:
        scores: (Q, C), higher is nearer.
        relevant: bool (Q, C), at least one true a row.

    Returns:
        `recall_at_K`: share of queries with a relevant candidate among the first K; `map_at_10`: mean over
        queries of the average precision cut at 10, over min(10, relevant candidates), which with one relevant
        candidate is 1/rank; `median_rank`: of the first relevant candidate, from 1; `pairs`: Q;
        `chance_at_K`: expected recall under a uniformly random ranking.
    """
    first, average = rankings(scores, relevant)
    count = relevant.sum(axis=1)
    result: dict[str, float | int] = {f"recall_at_{k}": float((first <= k).mean()) for k in CUTOFFS}
    result |= {f"chance_at_{k}": chance(count, scores.shape[1], k) for k in CUTOFFS}
    result |= {"map_at_10": float(average.mean()), "median_rank": float(np.median(first)), "pairs": len(scores)}
    return result


def rankings(scores: Matrix, relevant: Relevance) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of each query the rank of its first relevant candidate, from 1, and its average precision cut at 10.

    Raises:
        ValueError: a query without a relevant candidate.
    """
    count = relevant.sum(axis=1)
    if scores.shape != relevant.shape or not len(scores) or int(count.min()) < 1:
        raise ValueError("every query needs a relevant candidate")
    hits = ranked_relevance(scores, relevant)
    top = hits[:, :10]
    precision = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    return hits.argmax(axis=1) + 1, (precision * top).sum(axis=1) / np.minimum(count, 10)


def chance(relevant: npt.NDArray[np.integer[Any]], candidates: int, cutoff: int) -> float:
    """Expected recall at a cutoff when each query's ranking is uniformly random.

    A query misses when all the first places go to what is not relevant, a hypergeometric chance.
    """
    places = np.arange(min(cutoff, candidates))
    misses = np.clip(candidates - relevant[:, None] - places, 0, None) / (candidates - places)
    return float(1 - misses.prod(axis=1).mean())


def first_of_each(captions: list[str]) -> list[int]:
    """Positions at which a caption occurs for the first time."""
    seen: set[str] = set()
    return [i for i, caption in enumerate(captions) if not (caption in seen or seen.add(caption))]  # type: ignore[func-returns-value]


def pairs_metrics(scores: Matrix, captions: list[str], artists: list[str]) -> dict[str, Any]:
    """Metrics of fixed pairs; row i and column i of `scores` (N, N) are the caption and the track of pair i.

    `artists` are of the pairs' tracks. The main figures are those of the pairs whose caption did not occur before,
    so that each query has one right answer. Beside them, over all pairs: `with_duplicates`, where every track under
    the query's caption is a hit, and `strict`, where only the pair's own is.
    """
    kept = first_of_each(captions)
    numbers = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    keys = np.array([numbers[caption] for caption in captions])
    main = scores[np.ix_(kept, kept)]
    own = np.eye(len(captions), dtype=np.bool_)
    same = keys[:, None] == keys[None, :]
    return {
        **_with_intervals(main, np.eye(len(kept), dtype=np.bool_), [artists[row] for row in kept]),
        "repeated_captions": len(captions) - len(kept),
        "with_duplicates": _with_intervals(scores, same, artists),
        "strict": _with_intervals(scores, own, artists),
    }


def _with_intervals(scores: Matrix, relevant: Relevance, artists: list[str]) -> dict[str, Any]:
    within = ranking_intervals(*rankings(scores, relevant), artists, CUTOFFS)
    return {**retrieval_metrics(scores, relevant), "intervals": within}
