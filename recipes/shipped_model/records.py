"""Records to extract: sentences with slots, and what each slot's value is as text and in JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import facts, values
from .draw import Draw, Pool

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

SENTENCES: dict[str, Pool] = {
    "person": Pool(lines="""
        {name} is {age} years old and lives in {city}.
        {name}, {age}, lives in {city}.
        {name} ({age}) lives in {city}.
        {name}, aged {age}, comes from {city}.
        My name is {name}, I am {age} years old and I live in {city}.
        Hi, I'm {name} from {city}. I am {age}.
        I am {name}. I am {age} years old and work as a {job} in {city}.
        At the age of {age}, {name} moved to {city}.
        {age}-year-old {name} lives in {city}.
        The {age}-year-old {job} {name} comes from {city}.
        {name} is a {age}-year-old {job} from {city}.
        {name} is a {job} in {city} and is {age} years old.
        {name} works as a {job} at {company} in {city}.
        {name} works for {company} as a {job}.
        In {city} lives a {job} called {name} who is {age} years old.
        A {job} named {name}, {age} years old, has moved to {city}.
        {name} turned {age} last week in {city}.
        Our new {job} is {name}, who is {age} and was born in {city}.
        {name} was born in {city} and is now {age} years old.
        {name} likes {hobby} and lives in {city}.
        {name} is {age} and enjoys {hobby}.
        {name} is {age} years old, lives in {city}, and likes {hobby}.
        Meet {name}: {age} years old, {job}, living in {city}.
        Name: {name}, age: {age}, city: {city}.
        {name} from {city} works as a {job}. You can write to {email}.
        Please contact {name} at {email} or {phone}.
        You can reach {name} at {email}.
        {name}'s email is {email} and the phone number is {phone}.
        {name} lives at {street} in {city}.
        {name} is {age} years old, lives in {city}, and can be reached at {email}.
        Yesterday I met {name}, a {job} of {age}, in {city}.
        {name} and {friend} live in {city}. {name} is {age} years old.
        {name} told me that he lives in {city} and is {age}.
        {name} says she is {age} and that her home is {city}.
        {name} is a citizen of {country} and lives in {city}.
        {name}, who is {age} years old, has been living in {city} for years.
        Although {name} is only {age}, she already works as a {job} in {city}.
        {name} joined {company} on {date} as a {job}.
    """),
    "order": Pool(lines="""
        {buyer} ordered {pieces} {product}s for {price}.
        {buyer} bought {pieces} {product}s for {price} on {date}.
        {buyer} bought a {product} for {price}.
        On {date}, {buyer} bought a {product} for {price}.
        Order {order}: {pieces} x {product}, total {price}.
        Order {order} from {buyer}: {pieces} {product}s at {price} each.
        The {product} costs {price}.
        A {product} costs {price} at {company}.
        {company} sells the {product} for {price}.
        The price of the {product} is {price}.
        I would like to buy {pieces} {product}s for {price}.
        I want to order {pieces} {product}s. My name is {buyer} and I live in {city}.
        Please send {pieces} {product}s to {buyer} in {city}.
        We shipped {pieces} {product}s to {buyer} on {date}.
        The customer {buyer} paid {price} for a {product}.
        {buyer} paid {price} for {pieces} {product}s.
        Invoice {order}: {buyer} owes {price} for a {product}, due on {date}.
        Your order {order} of {pieces} {product}s arrives on {date}.
        {buyer} returned a {product} that cost {price}.
        New in our shop: the {color} {product} for only {price}!
        The {product} weighs {weight} kg and costs {price}.
        For sale: {product}, {color}, {price}. Call {phone}.
        The total for {pieces} {product}s is {price}.
        {pieces} {product}s were sold to {buyer} for {price}.
        Dear {buyer}, thank you for your order {order} of {price}.
        {buyer} from {city} has ordered {pieces} {product}s.
        Last week {buyer} spent {price} on a {product}.
        The {product} in {color} is {price}.
        Receipt: {pieces} {product}s, {price}, paid by {buyer}.
        There are {pieces} {product}s left, each for {price}.
    """),
    "event": Pool(lines="""
        The {event} takes place in {city} on {date}.
        The {event} in {city} starts at {time} on {date}.
        Join us for the {event} on {date} at {time} in {city}.
        {name} organizes a {event} in {city} on {date}.
        There will be a {event} with {guests} guests in {city} on {date}.
        The {event} on {weekday} at {time} is in {city}.
        {name} invites you to a {event} on {weekday} at {time}.
        On {date} there is a {event} in {city} at {time}.
        The {event} lasts {minutes} minutes and starts at {time}.
        Tickets for the {event} in {city} cost {price}.
        {name} booked a table for {guests} people on {date} at {time}.
        Reserve a table for {guests} people at {time} under the name {name}.
        The meeting with {name} is on {date} at {time}.
        {name} will meet {friend} in {city} on {weekday} at {time}.
        Reminder: {event} with {name} on {weekday}, {time}.
        {guests} people came to the {event} in {city} on {date}.
        A {event} will be held on {date} in {city}, and {name} will speak at {time}.
        The {event} begins at {time}. Entry is {price}.
        Your appointment with {name} is on {date} at {time}.
        We moved the {event} to {date} at {time}.
    """),
    "travel": Pool(lines="""
        {name} flies from {from} to {to} on {date}.
        The train from {from} to {to} leaves at {time} and costs {price}.
        I need a ticket from {from} to {to} on {date}.
        {name} travels from {from} to {to} on {weekday}.
        The flight from {from} to {to} takes {minutes} minutes.
        The bus from {from} to {to} departs at {time}.
        A flight from {from} to {to} on {date} costs {price}.
        {name} drove from {from} to {to} in {minutes} minutes.
        Book a flight to {to} from {from} for {name}.
        {name} wants to go to {to} from {from} on {date}.
        Flight {order} from {from} arrives in {to} at {time}.
        {name} stays in {city} until {date} and pays {price} for the room.
        From {from} you reach {to} in {minutes} minutes for {price}.
    """),
    "other": Pool(lines="""
        It is {degrees} degrees in {city} today.
        The temperature in {city} on {date} was {degrees} degrees.
        In {city} it will be {degrees} degrees on {weekday}.
        {author} wrote the book {film} in {year}.
        The book {film} by {author} was published in {year}.
        {film}, written by {author}, came out in {year} and costs {price}.
        {author} published {film} in {year}.
        {name} gave the film {film} {rating} out of 10.
        {name} has a {color} {animal} called {pet}.
        {pet} is a {animal} that is {age} years old.
        {name}'s {animal} {pet} is {age} years old.
        The {animal} {pet} weighs {weight} kg and belongs to {name}.
        {name} drives a {color} car and lives in {city}.
        {company} was founded in {year} in {city} by {name}.
        {company} from {city} has {guests} employees.
        {name} founded {company} in {year}.
        The {animal} in {city} is {age} years old and {color}.
        {name} runs {weight} kilometers in {minutes} minutes.
        {name} rated the {product} {rating} out of 10.
        {name} moved from {from} to {to} in {year}.
    """),
}  # fmt: skip
