"""What serves: front desk, scheduler, executor, models, HTTP. See docs/architecture.md."""
