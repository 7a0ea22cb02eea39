"""transformers' Trainer for rows of a plan: the loss of each component, and refusals of what would break the order.

The loss is the sum over tokens divided by the tokens of the whole step, as transformers' models have it; here it is
computed once from the logits, so that it is there by token and can be summed by component. So it is for BERT too, whose
own loss ignores how many tokens the other micro-batches and processes have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import Trainer

from curator_trainer.data import IGNORED, MixtureDataset, stack
from curator_trainer.inputs import Inputs
from curator_trainer.schedule import Schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer

LOSS_OF = "loss/"  # before the name of a component, in logs


class MixtureTrainer(Trainer):
    """Trains on a MixtureDataset(components=True), with a Schedule unless its arguments name a scheduler.

    Raises UsageError for an IterableDataset, and for an attention_mask in a causal batch.
    """

    def __init__(
        self, *, model: Any, train_dataset: MixtureDataset, schedule: Schedule | None, **options: Any
    ) -> None:
        from curator import UsageError

        if isinstance(train_dataset, torch.utils.data.IterableDataset):
            raise UsageError(
                f"{type(train_dataset).__name__} is an IterableDataset: transformers resumes it by reading everything "
                "again, and each process reads all of it; give a MixtureDataset"
            )
        self._schedule = schedule
        self._rows = train_dataset.rows
        self._causal = train_dataset.objective == "causal"
        self._inputs = Inputs(model)
        self._component: torch.Tensor | None = None
        super().__init__(
            model=model,
            train_dataset=train_dataset,
            data_collator=stack,
            compute_loss_func=self._loss,
            **options,
        )
        precise = torch.float32 if self.args.device.type == "mps" else torch.float64
        #: [components, 2]: summed losses and predicted tokens since the last log, of this process
        self._sums = torch.zeros(len(self._rows.names), 2, dtype=precise)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch."""
        from curator import UsageError

        columns = dict(inputs)
        self._component = columns.pop("component", None)
        if self._causal and "attention_mask" in columns:
            raise UsageError(
                "a causal batch has an attention_mask: with it, transformers does not read document boundaries from "
                "positions, and documents of a row would see one another; leave it out of the dataset"
            )
        labels = columns.pop("labels")
        prepared = {**self._inputs(columns), "labels": labels}
        return super().compute_loss(model, prepared, *args, **kwargs)

    def _loss(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        logits = cast("torch.Tensor", outputs["logits"]).float()
        if self._causal:
            labels = torch.nn.functional.pad(labels, (0, 1), value=IGNORED)[:, 1:]  # a copy of logits would cost more
        each = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.reshape(-1), ignore_index=IGNORED, reduction="none"
        ).view(labels.shape)
        asked = (labels != IGNORED).sum(1)
        if self._component is not None:
            sums = torch.stack([each.detach().sum(1), asked], dim=1).to(self._sums.dtype)
            self._sums = self._sums.to(sums.device).index_add(0, self._component, sums)
        return each.sum() / (asked.sum() if num_items_in_batch is None else num_items_in_batch)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean loss of each component since the last log; every process gives its part."""
        if "loss" in logs:
            sums = cast("torch.Tensor", self.accelerator.reduce(self._sums.to(self.args.device), "sum"))
            self._sums = torch.zeros_like(self._sums)
            for name, (loss, tokens) in zip(self._rows.names, sums.tolist(), strict=True):
                if tokens:
                    logs[LOSS_OF + name] = loss / tokens
        super().log(logs, *args, **kwargs)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate's schedule."""
        from torch.optim.lr_scheduler import LambdaLR

        if self._schedule is None:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(cast("Optimizer", optimizer or self.optimizer), self._schedule)
            self._created_lr_scheduler = True
        return self.lr_scheduler
