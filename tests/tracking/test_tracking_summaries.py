"""Pages of studies, from a real store."""

from dataclasses import replace

import pytest

from mlbench.errors import InputError
from mlbench.tracking import Search, find_studies
from mlbench.tracking.summaries import condition


def test_studies_are_found_newest_first_and_paged(three):
    tracker, run_ids = three
    first = find_studies(tracker, Search(), size=2)
    assert [item.run_id for item in first.studies] == [run_ids[2], run_ids[1]]
    second = find_studies(tracker, Search(), first.following, size=2)
    assert [item.run_id for item in second.studies] == [run_ids[0]]
    assert second.following == ""
    (found,) = second.studies
    assert (found.name, found.workload, found.decision, found.winner) == (
        "tiny-20260101-000000", "tiny", "promote", "fast",
    )  # fmt: skip
    assert (found.status, found.noise, found.arms, found.experiment) == ("FINISHED", "quiet", "5", "mlbench")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search("TWICE"), 2),
        (Search("iny", "workload"), 3),
        (Search("fas", "winner"), 3),
        (Search("it's"), 0),
        (Search(decision="promote"), 3),
        (Search(decision="hold"), 0),
        (Search(decision="none"), 0),
        (Search(experiment="nowhere"), 3),
    ],
)
def test_searches(three, search, found):
    assert len(find_studies(three[0], search).studies) == found


def test_studies_are_looked_for_in_every_experiment(three):
    tracker, _ = three
    other = replace(tracker, experiment_id=tracker.client.create_experiment("other"), experiment="other")
    run_id = other.open_study("elsewhere", {}, []).run_id
    newest = find_studies(tracker, Search()).studies[0]
    assert (newest.run_id, newest.experiment, newest.decision, newest.status) == (run_id, "other", "", "RUNNING")
    assert [item.name for item in find_studies(tracker, Search(decision="none")).studies] == ["elsewhere"]


def test_what_cannot_be_searched_for():
    with pytest.raises(InputError, match="both kinds of quotation marks"):
        condition(Search("'\""))


def test_a_page_that_is_none(three):
    with pytest.raises(InputError, match="no longer there"):
        find_studies(three[0], Search(), "nonsense")
