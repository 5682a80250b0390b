"""Many programs at a time: they share one batch on the model, and every common prefix."""

import radixlm as rl


@rl.function
def sentiment(s, review):
    s += rl.user(f"Is this review positive or negative? {review}")
    s += rl.assistant(rl.select("label", ["positive", "negative"]))


REVIEWS = (
    "I love this lamp. It works very well.",
    "The chair broke after one day. I want my money back.",
    "A wonderful book, I read it twice.",
    "The soup was cold and the waiter was rude.",
)

if __name__ == "__main__":
    states = sentiment.run_batch([{"review": review} for review in REVIEWS], progress_bar=True)
    for review, state in zip(REVIEWS, states, strict=True):
        print(f"{state['label']:9} {review}")
