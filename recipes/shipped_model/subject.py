"""A `Subject` on transformers, computed in f32; JSON under XGrammar's mask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


class TransformersSubject:
    """Greedy decoding with a cache, one prompt at a time."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = (
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
        )
        self.ends = {0, 2}
        self.device = device
        self._compiler: Any = None

    def _matcher(self, json_schema: str) -> Any:
        import xgrammar

        if self._compiler is None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                self.tokenizer,
                vocab_size=self.model.config.vocab_size,
                stop_token_ids=sorted(self.ends),
            )
            self._compiler = xgrammar.GrammarCompiler(info, max_threads=1)
        grammar = self._compiler.compile_json_schema(json_schema, any_whitespace=False)
        return xgrammar.GrammarMatcher(grammar)

    @torch.inference_mode()
    def generate(
        self, prompt: str, max_tokens: int, stop: Sequence[str], json_schema: str | None = None
    ) -> str:
        """Continue a prompt greedily."""
        matcher = self._matcher(json.dumps(json.loads(json_schema))) if json_schema else None
        ids = torch.tensor(
            [self.tokenizer.encode(prompt, add_special_tokens=False)], device=self.device
        )
        made: list[int] = []
        past: Any = None
        while len(made) < max_tokens:
            out = self.model(ids, past_key_values=past, use_cache=True)
            past, logits = out.past_key_values, out.logits[0, -1].float()
            if matcher is not None:
                logits = self._masked(matcher, logits)
            token = int(logits.argmax())
            if token in self.ends:
                break
            if matcher is not None:
                matcher.accept_token(token)
            made.append(token)
            text = self.tokenizer.decode(made)
            for mark in stop:
                if mark in text:
                    return str(text.partition(mark)[0])
            ids = torch.tensor([[token]], device=self.device)
        return str(self.tokenizer.decode(made))

    @staticmethod
    def _masked(matcher: Any, logits: torch.Tensor) -> torch.Tensor:
        import xgrammar

        bitmask = xgrammar.allocate_token_bitmask(1, logits.numel())
        matcher.fill_next_token_bitmask(bitmask)
        allowed = torch.tensor(
            [(int(word) >> bit) & 1 for word in bitmask[0] for bit in range(32)], dtype=torch.bool
        )
        return logits.masked_fill(~allowed[: logits.numel()].to(logits.device), float("-inf"))

    @torch.inference_mode()
    def select(self, prompt: str, choices: Sequence[str]) -> str:
        """Return the choice with the highest mean log-probability per token."""
        head = self.tokenizer.encode(prompt, add_special_tokens=False)
        scores: list[float] = []
        for choice in choices:
            tail = self.tokenizer.encode(choice, add_special_tokens=False)
            ids = torch.tensor([head + tail], device=self.device)
            logprobs = self.model(ids).logits[0, len(head) - 1 : -1].float().log_softmax(-1)
            scores.append(
                float(logprobs.gather(1, torch.tensor(tail, device=self.device)[:, None]).mean())
            )
        return choices[max(range(len(choices)), key=scores.__getitem__)]
