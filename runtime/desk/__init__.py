"""The front desk: text in, text out. Tokens, streams, chat; never a tensor, never the scheduler."""
