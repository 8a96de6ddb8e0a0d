"""A cascade of feature rankers as one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.feature_lists import FeatureLists
from rankgrad.models import FeatureRanker, _folder
from rankgrad.modules.feature_transform import TransformKind
from rankgrad.pipeline.cascade import Cascade, CascadeScores
from rankgrad.pipeline.cascade_model import list_scores
from rankgrad.pipeline.feature_stage import FeatureStage, whole_lists

_KIND = "rankgrad_feature_cascade"
_WEIGHTS = "model.safetensors"


class FeatureCascade(nn.Module):
    """Feature rankers in a cascade: few features and a small network first, all of them for what is left.

    Trained by :class:`rankgrad.training.Ranker` with a :class:`CascadeLoss`, also from a configuration
    (``configs/experiment/ltr_cascade.yaml``): in training it gives :class:`CascadeScores`, evaluated the scores of what
    the cascade runs.

    Args:
        features: how many a row has.
        columns: the features that each stage reads, counted from 0; None = all.
        hidden: widths of each stage's hidden layers.
        cutoffs, costs, temperature, learn_cutoffs: as in :class:`Cascade`.
        dropout, transform, quantiles, bins: of every stage, as in :class:`rankgrad.models.FeatureRanker`.

    Shape:
        features ``[queries, items, features]`` with their mask -> scores ``[queries, items]``, float32; 0 where masked.

    Raises:
        InputError: for options that do not fit each other.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> columns, hidden = [[0], None], [[4], [8]]
        >>> model = FeatureCascade(3, columns=columns, hidden=hidden, cutoffs=[2], costs=[0.1, 1], transform="none")
        >>> lists = FeatureLists(torch.rand(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))
        >>> model(lists).survival.sum(dim=-1).round(decimals=3).flatten().tolist()
        [4.0, 2.0]
        >>> model.eval()(lists).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        features: int,
        *,
        columns: Sequence[Sequence[int] | None],
        hidden: Sequence[Sequence[int]],
        cutoffs: Sequence[float],
        costs: Sequence[float],
        temperature: float = 0.1,
        learn_cutoffs: bool = True,
        dropout: float = 0.1,
        transform: TransformKind | Literal["bins"] = "log1p_standardise",
        quantiles: int = 64,
        bins: int = 8,
    ) -> None:
        super().__init__()
        if len(columns) != len(hidden):
            raise InputError(f"columns is of {len(columns)} stages, hidden of {len(hidden)}: give one of both a stage")
        wrong = [place for place in columns if place is not None and not all(0 <= one < features for one in place)]
        if wrong:
            raise InputError(f"columns: {list(wrong[0])} are not all among the {features} features, counted from 0")
        options: dict[str, Any] = {"dropout": dropout, "transform": transform, "quantiles": quantiles, "bins": bins}
        self.settings: dict[str, Any] = {
            "features": features,
            "columns": [None if one is None else list(one) for one in columns],
            "hidden": [list(widths) for widths in hidden],
            "cutoffs": list(cutoffs),
            "costs": list(costs),
            "temperature": temperature,
            "learn_cutoffs": learn_cutoffs,
            **options,
        }
        stages = [
            FeatureStage(FeatureRanker(features if one is None else len(one), hidden=widths, **options), columns=one)
            for one, widths in zip(columns, hidden, strict=True)
        ]
        self.cascade = Cascade(
            stages, cutoffs=cutoffs, costs=costs, temperature=temperature, learn_cutoffs=learn_cutoffs
        )

    @property
    def features(self) -> int:
        """How many features a row has."""
        return self.settings["features"]

    @property
    def transform(self) -> StageTransforms:
        """The transforms of all stages as one, for what fits a model's transform."""
        return StageTransforms(self)

    def fit_transform(self, rows: Tensor) -> None:
        """Fit each stage's transform on training rows ``[rows, features]``."""
        for columns, ranker in self.rankers():
            ranker.fit_transform(rows if columns is None else rows[:, columns])

    def forward(self, lists: FeatureLists) -> CascadeScores | Tensor:
        """Score the rows of padded lists."""
        return list_scores(self.cascade, lists, whole_lists(lists))

    def forward_lists(self, features: Tensor, mask: Tensor) -> Tensor:
        """What the evaluated cascade gives, from the fields of a batch: what an exported graph gives.

        Raises:
            InputError: in training mode, where scores are those of every stage.
        """
        found = self(FeatureLists(features, mask))
        if isinstance(found, CascadeScores):
            raise InputError("the cascade is in training mode and gives the scores of every stage: call eval() first")
        return found

    def rankers(self) -> list[tuple[list[int] | None, FeatureRanker]]:
        """Each stage's columns and its ranker."""
        rankers = [cast(FeatureRanker, cast(FeatureStage, stage).ranker) for stage in self.cascade.stages]
        return list(zip(self.settings["columns"], rankers, strict=True))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write configuration and weights (safetensors), transforms and cut-offs among them; all of it or nothing."""
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            _folder.write_json(temporary / _folder.CONFIG, {"model_type": _KIND, **self.settings})
            _folder.save_tensors(self.state_dict(), temporary / _WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FeatureCascade:
        """Read a folder that :meth:`save_pretrained` wrote; the model is in evaluation mode.

        Raises:
            InputError: for a folder of another kind, or damaged files.
        """
        name = Path(_folder.resolve(folder))
        settings = _folder.read_json(name / _folder.CONFIG)
        if settings.pop("model_type", None) != _KIND:
            raise InputError(f"{folder} holds no cascade: pass what FeatureCascade.save_pretrained wrote")
        try:
            model = cls(**settings)
        except TypeError as error:
            raise InputError(f"{name / _folder.CONFIG} is no configuration of a cascade ({error})") from error
        _folder.load_state(model, _folder.load_tensors(name / _WEIGHTS), name / _WEIGHTS)
        return model.eval()


class StageTransforms:
    """The transforms of a cascade's stages, fitted together."""

    def __init__(self, model: FeatureCascade) -> None:
        self._model = model

    @property
    def fitted(self) -> bool:
        """Whether that of every stage is."""
        return all(bool(ranker.transform.fitted) for _, ranker in self._model.rankers())

    def check_fitted(self) -> None:
        """Refuse a transform without a scale.

        Raises:
            InputError: before ``fit``, for the first stage whose kind needs it.
        """
        for _, ranker in self._model.rankers():
            ranker.transform.check_fitted()

    def fit(self, rows: Tensor) -> None:
        """Fit each on training rows ``[rows, features]``."""
        self._model.fit_transform(rows)
