"""The policy: goals held against the evidence, and one decision with a reason for every arm.

Goals are tested by the bounds of intervals, never by point estimates (docs/method.md, "Decision").
"""

from __future__ import annotations

from mlbench.policy._before import foreign, unanswerable, unknown_metrics, unmeasurable
from mlbench.policy._decision import decide

__all__ = ["decide", "foreign", "unanswerable", "unknown_metrics", "unmeasurable"]
