"""Plan, coordinator, worker, clock: how calls are timed."""
