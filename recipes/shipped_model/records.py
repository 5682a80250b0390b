"""Records to extract: sentences with slots, and what each slot's value is as text and in JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import facts, values
from .draw import Draw, sections

Value = tuple[str, Any]  # as the sentence writes it, and in JSON

NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def _same(make: Callable[[Draw], str]) -> Callable[[Draw], Value]:
    def both(draw: Draw) -> Value:
        text = make(draw)
        return text, text

    return both


def _integer(low: int, high: int, *, words: bool = False) -> Callable[[Draw], Value]:
    def both(draw: Draw) -> Value:
        top = draw.any((high, high, 99)) if low < 99 < high else high
        count = draw.number(low, top)
        if words and 2 <= count <= 12 and draw.chance(0.4):
            return NUMBER_WORDS[count], count
        return str(count), count

    return both


def _amount(draw: Draw) -> Value:
    digits = values.price(draw)
    shown = draw.any(
        ("${}", "${}", "{} dollars", "{} euros", "€{}", "£{}", "{} USD", "{} EUR", "{} pounds")
    )
    return shown.format(digits), float(digits) if "." in digits else int(digits)


def _decimal(draw: Draw) -> Value:
    text = f"{draw.number(0, 99)}.{draw.number(1, 9)}"
    return text, float(text)


@dataclass(frozen=True, slots=True)
class Field:
    """A slot: how its value is made, its JSON type, and the keys that people give it."""

    make: Callable[[Draw], Value]
    type: str
    keys: tuple[str, ...]


FIELDS: dict[str, Field] = {
    "name": Field(_same(values.person), "string", ("name", "name", "name", "full_name", "person", "person_name")),
    "friend": Field(_same(values.first_name), "string", ("friend", "other_person", "colleague", "second_name")),
    "buyer": Field(_same(values.person), "string", ("customer", "name", "buyer", "customer_name", "client")),
    "author": Field(_same(values.full_name), "string", ("author", "writer", "author_name", "name")),
    "age": Field(_integer(1, 99), "integer", ("age", "age", "age", "years", "age_years")),
    "city": Field(_same(values.city), "string", ("city", "city", "city", "location", "town", "place", "home_town")),
    "from": Field(_same(values.city), "string", ("from", "origin", "departure", "from_city", "start")),
    "to": Field(_same(values.city), "string", ("to", "destination", "arrival", "to_city", "end")),
    "country": Field(_same(lambda d: d.any(facts.countries()).name), "string", ("country", "nation", "land")),
    "job": Field(_same(lambda d: d.of(values.JOBS)), "string", ("job", "occupation", "profession", "work", "job_title")),
    "email": Field(_same(values.email), "string", ("email", "email", "email_address", "mail", "contact")),
    "phone": Field(_same(values.phone), "string", ("phone", "phone_number", "telephone", "number")),
    "company": Field(_same(values.company), "string", ("company", "employer", "organization", "firm")),
    "hobby": Field(_same(lambda d: d.of(values.HOBBIES)), "string", ("hobby", "hobby", "interest", "pastime")),
    "price": Field(_amount, "number", ("price", "price", "price", "cost", "amount", "total")),
    "product": Field(_same(values.product), "string", ("product", "product", "item", "product_name", "article")),
    "pieces": Field(_integer(2, 999, words=True), "integer", ("quantity", "quantity", "count", "amount", "units")),
    "date": Field(_same(values.date), "string", ("date", "date", "day", "when", "due_date")),
    "time": Field(_same(values.clock), "string", ("time", "start_time", "hour", "at")),
    "weekday": Field(_same(lambda d: d.any(values.DAYS)), "string", ("day", "weekday", "day_of_week")),
    "order": Field(_same(values.code), "string", ("order", "order_id", "order_number", "id", "reference", "code")),
    "color": Field(_same(lambda d: d.any(values.COLORS)), "string", ("color", "colour")),
    "animal": Field(_same(lambda d: d.of(values.ANIMALS)), "string", ("animal", "species", "pet", "type")),
    "pet": Field(_same(values.made_up_name), "string", ("pet_name", "name", "animal_name")),
    "street": Field(_same(values.street), "string", ("street", "address", "street_address")),
    "degrees": Field(_integer(-20, 45), "integer", ("temperature", "degrees", "temp")),
    "minutes": Field(_integer(1, 240), "integer", ("minutes", "duration", "duration_minutes")),
    "guests": Field(_integer(2, 300, words=True), "integer", ("guests", "people", "party_size", "participants")),
    "rating": Field(_integer(1, 10), "integer", ("rating", "score", "stars")),
    "year": Field(_integer(1900, 2030), "integer", ("year", "year", "published", "publication_year")),
    "weight": Field(_decimal, "number", ("weight", "weight_kg", "mass")),
    "film": Field(_same(lambda d: f"{values.made_up_name(d)} {values.made_up_name(d)}"), "string", ("title", "book", "film", "work")),
    "event": Field(_same(lambda d: d.any(("concert", "meeting", "workshop", "wedding", "party", "conference", "exhibition",
                                          "lecture", "match", "festival", "dinner", "course"))), "string",
                   ("event", "event_type", "kind", "type")),
}  # fmt: skip

SENTENCES = sections("sentences.txt")
