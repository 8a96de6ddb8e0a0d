"""Losses of one list in plain Python and float64: the definitions that tests compare with."""

from __future__ import annotations

from itertools import permutations
from math import exp, log, log1p, log2

Numbers = list[float]


def log_sum(values: Numbers) -> float:
    return log(sum(map(exp, values)))


def log_softmax(values: Numbers, place: int) -> float:
    return values[place] - log_sum(values)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def ranks(scores: Numbers) -> list[int]:
    """The lower index first among equal ones."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return [order.index(i) + 1 for i in range(len(scores))]


def mean_ranks(values: Numbers) -> Numbers:
    return [1 + sum(y > x for y in values) + (sum(y == x for y in values) - 1) / 2 for x in values]


def soft_ranks(scores: Numbers, temperature: float) -> Numbers:
    return [0.5 + sum(sigmoid((other - own) / temperature) for other in scores) for own in scores]


def gains(labels: Numbers) -> Numbers:
    return [2.0 ** max(y, 0) - 1 for y in labels]


def ideal(labels: Numbers, k: int | None = None) -> float:
    return sum(g / log2(i + 2) for i, g in enumerate(sorted(gains(labels), reverse=True)[:k]))


def pairs(labels: Numbers) -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(labels)) for j in range(len(labels)) if labels[i] > labels[j]]


def ranknet(scores: Numbers, labels: Numbers) -> float:
    return sum(log1p(exp(scores[j] - scores[i])) for i, j in pairs(labels))


def hinge(scores: Numbers, labels: Numbers, margin: float) -> float:
    return sum(max(0.0, margin - scores[i] + scores[j]) for i, j in pairs(labels))


def lambda_loss(scores: Numbers, labels: Numbers, weighting: str, k: int | None = None, mu: float = 10.0) -> float:
    """The published sums, logarithms to base 2; a pair counts where one of its items ranks within k."""
    r, best = ranks(scores), ideal(labels, k)
    g = [gain / best for gain in gains(labels)]

    def discount(rank: int) -> float:
        return 1 / log2(1 + rank)

    def weight(i: int, j: int) -> float:
        swap = abs(discount(r[i]) - discount(r[j]))
        gap = discount(abs(r[i] - r[j])) - discount(abs(r[i] - r[j]) + 1)
        return {
            "lambda_rank": abs(g[i] - g[j]) * swap,
            "ndcg_loss1": g[i] * discount(r[i]),
            "ndcg_loss2": abs(g[i] - g[j]) * gap,
            "ndcg_loss2++": abs(g[i] - g[j]) * (swap + mu * gap),
            "arp_loss1": labels[i],
            "arp_loss2": abs(labels[i] - labels[j]),
        }[weighting]

    n = len(scores)
    every = [(i, j) for i in range(n) for j in range(n) if i != j]
    counted = every if weighting.endswith("loss1") else pairs(labels)
    within = [(i, j) for i, j in counted if min(r[i], r[j]) <= (k or n)]
    return sum(weight(i, j) * log2(1 + exp(scores[j] - scores[i])) for i, j in within)


def list_mle_terms(scores: Numbers, labels: Numbers) -> Numbers:
    """Each item against all whose label is no higher."""
    return [
        log_sum([t for t, z in zip(scores, labels, strict=True) if z <= y]) - s
        for s, y in zip(scores, labels, strict=True)
    ]


def unique_softmax(scores: Numbers, labels: Numbers) -> float:
    return sum(
        gain * (log_sum([s, *(t for t, z in zip(scores, labels, strict=True) if z < y)]) - s)
        for s, y, gain in zip(scores, labels, gains(labels), strict=True)
    )


def neural_sort(scores: Numbers, temperature: float) -> list[Numbers]:
    n = len(scores)
    spread = [sum(abs(x - y) for y in scores) for x in scores]
    rows = []
    for i in range(1, n + 1):
        logits = [((n + 1 - 2 * i) * x - a) / temperature for x, a in zip(scores, spread, strict=True)]
        rows.append([exp(log_softmax(logits, j)) for j in range(n)])
    return rows


def sinkhorn(matrix: list[Numbers], iterations: int) -> list[Numbers]:
    """Columns, then rows, are made to sum to 1."""
    for _ in range(iterations):
        columns = [sum(row[j] for row in matrix) for j in range(len(matrix))]
        matrix = [[value / column for value, column in zip(row, columns, strict=True)] for row in matrix]
        matrix = [[value / sum(row) for value in row] for row in matrix]
    return matrix


def relaxed_ndcg(matrix: list[Numbers], labels: Numbers, k: int | None = None) -> float:
    placed = [sum(p * g for p, g in zip(row, gains(labels), strict=True)) for row in matrix]
    return sum(gain / log2(r + 2) for r, gain in enumerate(placed[:k])) / ideal(labels, k)


def smooth_indicators(scores: Numbers, k: int, alpha: float, delta: float) -> list[Numbers]:
    left, rows = [alpha * (s - min(scores)) for s in scores], []
    for _ in range(k):
        rows.append([exp(log_softmax(left, j)) for j in range(len(scores))])
        left = [x * (1 - p - delta) for x, p in zip(left, rows[-1], strict=True)]
    return rows


def plackett_luce(scores: Numbers) -> dict[tuple[int, ...], float]:
    """The probability of every order."""
    chances = {}
    for order in permutations(range(len(scores))):
        chance = 1.0
        for place, item in enumerate(order):
            chance *= exp(scores[item]) / sum(exp(scores[other]) for other in order[place:])
        chances[order] = chance
    return chances


def pearson(x: Numbers, y: Numbers) -> float:
    n = len(x)
    a, b = [value - sum(x) / n for value in x], [value - sum(y) / n for value in y]
    return sum(p * q for p, q in zip(a, b, strict=True)) / (sum(p * p for p in a) * sum(q * q for q in b)) ** 0.5
