"""Chooses what runs next. Queues, budgets, leases and grammars live here; tensors do not."""
